"""Swapped backbone and baselines in one table, under several protocols, with paired differences."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.transfer.backbone_comparison import TrainedArm
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.poses.protocol import Protocol
from gesture_pretrain.evaluation.poses.score import Score, score_predictions
from gesture_pretrain.evaluation.statistics.comparison import PairedDifference
from gesture_pretrain.evaluation.statistics.paired_scores import CLUSTERS, compare_scores
from gesture_pretrain.files import write_bytes_atomically

PROTOCOL_NAMES = ("eanet_corrected", "eanet_upstream", "interhand_wrist")
METRICS = ("MPJPE", "MPVPE")


@dataclass(frozen=True)
class ComparisonRow:
    """One metric under one protocol: the swapped backbone against one baseline.

    Attributes:
        protocol: Its name.
        metric: "MPJPE" or "MPVPE", images of one hand.
        baseline: Label of the arm.
        swapped_mm: Mean as the protocol defines it, then mean over seeds; NaN where it has none.
        baseline_mm: The same of the baseline.
        paired: Difference over the same hands with its interval, or None where nothing counts.
    """

    protocol: str
    metric: str
    baseline: str
    swapped_mm: float
    baseline_mm: float
    paired: PairedDifference | None


@dataclass(frozen=True)
class Comparison:
    """The table and what must stand beside it.

    Attributes:
        target: Name of the target.
        swapped: Label of the swapped backbone.
        rows: Of the table.
        protocols: Bound, one per protocol of the table.
        arms: What was trained.
        refused: Protocol to why it cannot be applied.
    """

    target: str
    swapped: str
    rows: tuple[ComparisonRow, ...]
    protocols: tuple[Protocol, ...]
    arms: tuple[TrainedArm, ...]
    refused: Mapping[str, str]

    def markdown(self) -> str:
        """Title, table, what was trained, and the card of every protocol."""
        lines = [f"# {self.swapped} in {self.target}, against its baselines", ""]
        lines += self._table() + [""]
        lines += [
            "Means in mm over images of one hand, averaged as the protocol says, then over seeds; "
            "difference: that of these means, over the same hands, negative where the swapped "
            f"backbone is better, with its interval of level {100 * self._level():.0f} %, by "
            f"clusters of {' and '.join(CLUSTERS)}.",
            "",
        ]
        lines += [f"- {text}" for text in self._conditions()] + [""]
        for protocol in self.protocols:
            lines += ["```", *protocol.card(), "```", ""]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; a number that does not exist is null."""
        return _without_nan(
            {
                "target": self.target,
                "swapped": self.swapped,
                "rows": [asdict(row) for row in self.rows],
                "protocols": [protocol.to_json() for protocol in self.protocols],
                "arms": [
                    {**asdict(arm), "folder": str(arm.folder), "predictions": str(arm.predictions)}
                    for arm in self.arms
                ],
                "refused": dict(self.refused),
            }
        )

    def save(self, folder: Path, **provenance: Any) -> None:
        """Writes `comparison.md`, and `comparison.json` with the provenance beside the numbers."""
        write_bytes_atomically(folder / "comparison.md", self.markdown().encode())
        content = {**self.to_json(), **provenance}
        text = json.dumps(content, indent=1, default=str, allow_nan=False)
        write_bytes_atomically(folder / "comparison.json", text.encode())

    def _table(self) -> list[str]:
        head = ["protocol", "metric", self.swapped, "baseline", "its mean", "difference", "p"]
        lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for row in self.rows:
            cells = [
                row.protocol,
                row.metric,
                _mm(row.swapped_mm),
                row.baseline,
                _mm(row.baseline_mm),
                *_paired_cells(row.paired),
            ]
            lines.append("| " + " | ".join(cells) + " |")
        return lines

    def _level(self) -> float:
        return next((row.paired.level for row in self.rows if row.paired is not None), 0.95)

    def _conditions(self) -> list[str]:
        seeds = sorted({arm.seed for arm in self.arms})
        steps = sorted({arm.steps for arm in self.arms})
        lines = [
            f"{len(seeds)} seed{'s' * (len(seeds) > 1)} ({', '.join(map(str, seeds))}); every run "
            f"took {' or '.join(map(str, steps))} steps, and runs of one seed saw the same samples "
            "in the same order (checked)."
        ]
        for label, text in dict.fromkeys(
            (arm.label, text) for arm in self.arms for text in arm.projections.values()
        ):
            lines.append(f"{label}: behind a declared {text}; this is another experiment.")
        if any(arm.reads_heads for arm in self.arms):
            lines.append(
                "The target reads gesture logits, and each arm's heads are its own (random where "
                "its backbone is): the difference is that of backbone and heads together."
            )
        if len(seeds) == 1:
            lines.append(
                "With one seed the interval and p tell these two trained networks apart, not the "
                "two backbones: other random weights can differ as much. Give several --seed."
            )
        caveats = (text for row in self.rows if row.paired for text in row.paired.caveats)
        lines += dict.fromkeys(caveats)
        lines += [f"{name} is not applied: {reason}" for name, reason in self.refused.items()]
        if any(math.isnan(row.swapped_mm) or math.isnan(row.baseline_mm) for row in self.rows):
            lines.append(
                "NaN: the protocol has no mean where a joint has no counted sample, or "
                "all hands of a side lack one."
            )
        return lines


def compare_arms(
    target: str,
    arms: Sequence[TrainedArm],
    reader: GroundTruthReader,
    protocols: Sequence[Protocol],
) -> Comparison:
    """Score every arm from its predictions file, and pair the first with each other one.

    Args:
        target: Name of the target.
        arms: Of all seeds; the swapped one is the first.
        reader: Of the index that was predicted.
        protocols: Under which they are scored.
    """
    labels = list(dict.fromkeys(arm.label for arm in arms))
    scores: dict[tuple[str, str], list[Score]] = {}
    refused: dict[str, str] = {}
    for arm in sorted(arms, key=lambda arm: arm.seed):
        found, without = score_predictions(PosePredictions.load(arm.predictions), reader, protocols)
        refused |= without
        for score in found:
            scores.setdefault((score.protocol.name, arm.label), []).append(score)
    names = [protocol.name for protocol in protocols if protocol.name not in refused]
    rows = [
        _row(metric, name, scores[name, labels[0]], scores[name, other], other)
        for name in names
        for metric in METRICS
        if metric == "MPJPE" or scores[name, labels[0]][0].protocol.vertices
        for other in labels[1:]
    ]
    bound = tuple(scores[name, labels[0]][0].protocol for name in names)
    return Comparison(target, labels[0], tuple(rows), bound, tuple(arms), refused)


def _row(
    metric: str, name: str, swapped: list[Score], baseline: list[Score], label: str
) -> ComparisonRow:
    return ComparisonRow(
        protocol=name,
        metric=metric,
        baseline=label,
        swapped_mm=_mean(metric, swapped),
        baseline_mm=_mean(metric, baseline),
        paired=_paired(metric, swapped, baseline),
    )


def _mean(metric: str, scores: list[Score]) -> float:
    return float(np.mean([score.values()[f"{metric} single"] for score in scores]))


def _paired(metric: str, swapped: list[Score], baseline: list[Score]) -> PairedDifference | None:
    errors = swapped[0].errors
    counted = errors.joint_mm if metric == "MPJPE" else errors.vertex_mm
    if np.isnan(counted).all():
        return None
    return compare_scores(swapped, baseline, meshes=metric == "MPVPE")


def _paired_cells(paired: PairedDifference | None) -> list[str]:
    if paired is None:
        return ["nothing counted", ""]
    ends = f"{_mm(paired.low_mm, sign=True)}, {_mm(paired.high_mm, sign=True)}"
    value = f"{_mm(paired.difference_mm, sign=True)} [{ends}]"
    return [value, "NaN" if math.isnan(paired.p_value) else f"{paired.p_value:.3f}"]


def _mm(value: float, *, sign: bool = False) -> str:
    if math.isnan(value):
        return "NaN"
    return f"{value:+.2f}" if sign else f"{value:.2f}"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
