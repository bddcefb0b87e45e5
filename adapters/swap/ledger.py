"""Ledger of every tensor when a backbone is put into a target.

The ledger compares the given backbone bit for bit with the one in the built model, and lists the
target's own tensors. `FirstStepCheck` adds what the optimiser's first step did to the backbone. A
tensor that is not accounted for is an error, never a warning.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from adapters.targets import SwapError
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.names import first_few
from gesture_pretrain.tables import text_table
from gesture_pretrain.weights.ledger import LedgerEntry, WeightLedger

LEDGER_FILE = "ledger.json"


@dataclass(frozen=True)
class SwapLedger:
    """Every tensor of a backbone and of the target it was put into.

    Attributes:
        target: Name of the target.
        backbone_name: `arch.tag`, or another name of the backbone's source.
        backbone: The backbone's tensors, under timm's names: matched, missing, of a wrong shape,
            unexpected. Gesture heads that the target does not use are dropped by name.
        own: The tensors that the target adds, under the model's names.
        changed: Tensors of the backbone whose values differ in the model.
        projections: Module name to description of each declared 1x1 projection.
        frozen_backbone: The backbone is frozen on purpose, or the last level that is.
        before_swap: Fingerprint of the given backbone.
        after_swap: Fingerprint of the backbone in the model.
        after_first_step: Fingerprint after the optimiser's first step; None before it.
        first_step: Findings of `FirstStepCheck`; None before it.
    """

    target: str
    backbone_name: str
    backbone: WeightLedger
    own: WeightLedger
    changed: tuple[str, ...]
    projections: Mapping[str, str]
    frozen_backbone: bool | str
    before_swap: str
    after_swap: str
    after_first_step: str | None = None
    first_step: Mapping[str, Any] | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether all tensors are accounted for and the backbone is bitwise unchanged."""
        return not self.problems()

    def problems(self) -> list[str]:
        """Describe undeclared deviations of the backbone, one line each."""
        return [f"changed on the way: {name}" for name in self.changed] + [
            f"{status}: {entry}"
            for status in ("missing", "wrong_shape", "unexpected")
            for entry in self.backbone.entries
            if entry.status == status
        ]

    def require_complete(self) -> None:
        """Raise unless every tensor is accounted for.

        Raises:
            SwapError: Names the tensors.
        """
        problems = self.problems()
        if problems:
            raise SwapError(
                f"{self.backbone_name} was not transferred completely to {self.target}: "
                f"{first_few(problems)}. The target must use the given backbone itself, and must "
                "not rename, reshape, copy or re-initialise its tensors."
            )

    def counts(self) -> list[dict[str, Any]]:
        """Return a row per kind of tensor: part, status, tensors, numbers and fraction."""
        groups = [
            ("backbone", [e for e in self.backbone.entries if not _is_of_heads(e)]),
            ("heads", [e for e in self.backbone.entries if _is_of_heads(e)]),
            ("projection", [e for e in self.own.entries if self._projects(e)]),
            ("target", [e for e in self.own.entries if not self._projects(e)]),
        ]
        in_model = [e for _, entries in groups for e in entries if _is_in_model(e)]
        numbers = sum(entry.size for entry in in_model)
        return [row for part, entries in groups for row in _rows(part, entries, numbers=numbers)]

    def table(self) -> str:
        """Format as a short table."""
        lines = [f"swap: {self.backbone_name} into {self.target}", counts_table(self.counts())]
        for name, text in self.projections.items():
            lines.append(f"declared: {text} ({name}), which changes the experiment")
        if self.frozen_backbone:
            last = self.frozen_backbone
            part = f" up to {last}" if isinstance(last, str) else ""
            lines.append(f"declared: the backbone is frozen{part}")
        stages = ("before the swap", "after", "after the first step")
        found = zip(stages, self._fingerprints().values(), strict=True)
        shown = ", ".join(f"{stage} {value[:12]}" for stage, value in found if value is not None)
        return "\n".join([*lines, f"backbone {shown}"])

    def save(self, folder: str | PathLike) -> Path:
        """Write `ledger.json` into a run folder and return its path."""
        content = {
            "target": self.target,
            "backbone_name": self.backbone_name,
            "complete": self.is_complete,
            "counts": self.counts(),
            "projections": dict(self.projections),
            "frozen_backbone": self.frozen_backbone,
            "fingerprints": self._fingerprints(),
            "first_step": self.first_step,
            "changed": self.changed,
            "backbone": json.loads(self.backbone.to_json()),
            "own": json.loads(self.own.to_json()),
        }
        path = Path(folder) / LEDGER_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, json.dumps(content, indent=1).encode())
        return path

    def _fingerprints(self) -> dict[str, str | None]:
        names = ("before_swap", "after_swap", "after_first_step")
        return {name: getattr(self, name) for name in names}

    def _projects(self, entry: LedgerEntry) -> bool:
        return any(entry.name.startswith(f"{name}.") for name in self.projections)


def counts_table(counts: Sequence[Mapping[str, Any]]) -> str:
    """Format the rows of `SwapLedger.counts` as text."""
    rows = [
        (
            *(row[key] for key in ("part", "status", "tensors")),
            f"{row['numbers']:,}",
            "" if row["share"] is None else f"{100 * row['share']:.1f} %",
        )
        for row in counts
    ]
    return text_table(("part", "status", "tensors", "numbers", "fraction"), rows)


def _is_of_heads(entry: LedgerEntry) -> bool:
    return entry.name.startswith("heads.")


def _is_in_model(entry: LedgerEntry) -> bool:
    return entry.status not in ("unexpected", "dropped_by_name")


def _rows(part: str, entries: Sequence[LedgerEntry], *, numbers: int) -> list[dict[str, Any]]:
    rows = []
    for status in dict.fromkeys(entry.status for entry in entries):
        group = [entry for entry in entries if entry.status == status]
        size = sum(entry.size for entry in group)
        share = size / numbers if _is_in_model(group[0]) and numbers else None
        row = {"part": part, "status": status, "tensors": len(group), "numbers": size}
        rows.append({**row, "share": share})
    return rows
