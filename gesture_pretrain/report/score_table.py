"""Score tables of several systems as text, Markdown, JSON and HTML.

Every format includes the protocol card above the numbers.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from gesture_pretrain.evaluation.poses.mean_pose import did_not_learn
from gesture_pretrain.evaluation.poses.protocol import Protocol, ProtocolError
from gesture_pretrain.evaluation.poses.score import Score
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.names import first_few
from gesture_pretrain.report import figures
from gesture_pretrain.report.page import Block, Code, Figure, Page, Table, facts_table
from gesture_pretrain.skeleton import JOINT_NAMES_MANO21
from gesture_pretrain.tables import text_table


@dataclass(frozen=True)
class ScoreTable:
    """Scores of S systems under P protocols.

    Attributes:
        scores: Scores in any order, at most one per system and protocol.
        refused: System -> protocol -> reason why it could not be applied.
        facts: Name -> text: data, versions, command.
        mean_pose_mm: Protocol -> MPJPE of the mean training pose. A system that is not below it is
            flagged as not having learned.

    Raises:
        ProtocolError: An entry of `scores` is not a `Score`.
    """

    scores: Sequence[Score]
    refused: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    mean_pose_mm: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen = set()
        for score in self.scores:
            if not isinstance(score, Score):
                raise ProtocolError(
                    f"A score table requires Score objects, got {type(score).__name__}."
                )
            key = (score.system, score.protocol.name)
            if key in seen:
                raise ValueError(f"'{key[0]}' is given twice under {key[1]}. Rename one system.")
            seen.add(key)

    def to_text(self) -> str:
        """Format cards and aligned tables for a terminal."""
        blocks = []
        for scores in self._by_protocol().values():
            frame = _score_frame(scores)
            table = text_table(list(frame.columns), frame.to_numpy())
            notes = [f"  {note}" for note in self._notes(scores)]
            blocks.append("\n".join([*_merged(scores).card(), "", table, *notes]))
        refusals = [f"Not available: {reason}" for reason in self._refusals()]
        return "\n\n".join([*blocks, *refusals])

    def page(self) -> Page:
        """Build the report, including tables per joint, gesture and subject."""
        sections: dict[str, list[Block]] = {}
        for scores in self._by_protocol().values():
            protocol = _merged(scores)
            blocks = sections[f"{protocol.name}: {protocol.title}"] = [
                Code("\n".join(protocol.card())),
                Table(_score_frame(scores)),
                self._notes(scores),
            ]
            errors = {score.system: score.errors.joint_mm for score in scores}
            if any(not np.isnan(values).all() for values in errors.values()):
                caption = f"Mean error per joint, protocol {protocol.name}"
                image = figures.joint_error_figure(errors, JOINT_NAMES_MANO21, title=caption)
                blocks.append(Figure(image, caption))
            for title, frame in _detail_frames(scores).items():
                blocks += [f"{title}, mm", Table(frame)]
        sections["Not available"] = [refusals] if (refusals := self._refusals()) else []
        sections["Facts"] = [facts_table(self.facts)] if self.facts else []
        systems = ", ".join(dict.fromkeys(score.system for score in self.scores))
        return Page("Scores", systems, sections=sections)

    def to_json(self) -> dict:
        """Return all numbers and protocols as plain values, with None for NaN."""
        systems: dict[str, dict] = {}
        for score in self.scores:
            systems.setdefault(score.system, {})[score.protocol.name] = _score_json(score)
        return {
            "facts": dict(self.facts),
            "mean_pose_mm": _plain(dict(self.mean_pose_mm)),
            "systems": systems,
            "not_available": _plain(self.refused),
        }

    def save(self, folder: Path | str) -> dict[str, Path]:
        """Write scores.json, scores.md and report.html; return their paths by name."""
        paths = {name: Path(folder) / name for name in ("scores.json", "scores.md", "report.html")}
        self.page().write(paths["report.html"], paths["scores.md"])
        text = json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n"
        write_bytes_atomically(paths["scores.json"], text.encode())
        return paths

    def _by_protocol(self) -> dict[str, list[Score]]:
        groups: dict[str, list[Score]] = {}
        for score in self.scores:
            groups.setdefault(score.protocol.name, []).append(score)
        return groups

    def _notes(self, scores: list[Score]) -> list[str]:
        baseline = self.mean_pose_mm.get(scores[0].protocol.name, math.nan)
        notes = _notes(scores)
        if not math.isnan(baseline):
            notes.append(f"The mean training pose has an MPJPE of {baseline:.2f} mm.")
        for score in scores:
            error = score.averages.mpjpe_mm["all"]
            if did_not_learn(error, baseline):
                notes.append(
                    f"{score.system} DID NOT LEARN: {error:.2f} mm is not below the mean training "
                    "pose."
                )
        return notes

    def _refusals(self) -> list[str]:
        every = (reason for reasons in self.refused.values() for reason in reasons.values())
        return list(dict.fromkeys(every))


def _merged(scores: list[Score]) -> Protocol:
    """Merge the protocols of several scores, listing boxes and splits that differ."""
    first = scores[0].protocol
    changes = {}
    for name in ("box_source", "split"):
        values = {score.system: getattr(score.protocol, name) for score in scores}
        if len(set(values.values())) > 1:
            changes[name] = "DIFFERS: " + "; ".join(f"{s}: {v}" for s, v in values.items())
    merged = replace(first, **changes)
    for score in scores:
        if replace(score.protocol, box_source=merged.box_source, split=merged.split) != merged:
            raise ProtocolError(
                f"'{score.system}' was scored under a different protocol with the same name "
                f"'{first.name}'. Rename one of them."
            )
    return merged


def _score_frame(scores: list[Score]) -> pd.DataFrame:
    columns = _columns(scores)
    rows = [
        {
            "system": score.system,
            **{name: _number(name, score.values().get(name, math.nan)) for name in columns},
            "hands": f"{score.averages.num_hands['all']:,}",
        }
        for score in scores
    ]
    return pd.DataFrame(rows)


def _columns(scores: list[Score]) -> list[str]:
    """List the values that at least one system has."""
    columns = dict.fromkeys(name for score in scores for name in score.values())
    if _single_hands_only(scores):
        columns = [name for name in columns if not name.endswith((" interacting", " all"))]
    values = [score.values() for score in scores]
    return [n for n in columns if not all(math.isnan(v.get(n, math.nan)) for v in values)]


def _number(name: str, value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return f"{value:.2f}" if "PJPE" in name or "PVPE" in name else f"{value:.3f}"


def _notes(scores: list[Score]) -> list[str]:
    notes = ["Errors in mm; AUC and F-scores are fractions."]
    if _single_hands_only(scores):
        notes[0] += " No image shows two hands."
    for score in scores:
        left_out = [f"{count:,} {reason}" for reason, count in score.excluded.items() if count]
        notes.append(
            f"{score.system}: {score.averages.joints['all']}; "
            f"{'; '.join(left_out) if left_out else 'nothing left out'}."
        )
        notes += _empty_joint_notes(score)
        if score.protocol.vertices and not score.averages.num_meshes["all"]:
            notes.append(f"{score.system}: no MPVPE, no hand has a predicted mesh and a MANO fit.")
    if len({_hands_key(score) for score in scores}) > 1:
        notes.append("The systems are scored on different hands: differences are not comparable.")
    return notes


def _empty_joint_notes(score: Score) -> list[str]:
    notes = []
    if score.protocol.empty_joint != "nan" or not score.protocol.averaging.startswith("joint"):
        return notes
    for group, names in score.averages.empty_joints.items():
        if group != "single" and _single_hands_only([score]):
            continue
        if names:
            notes.append(
                f"{score.system}, {group}: {len(names)} of 42 joints have no counted sample "
                f"({first_few(names, 3)}), so the mean is NaN, as upstream prints it."
            )
    return notes


def _single_hands_only(scores: list[Score]) -> bool:
    return not any(score.info["interacting"].any() for score in scores)


def _hands_key(score: Score) -> bytes:
    keys = 2 * score.info["rows"] + score.info["hand"]
    return np.sort(keys).tobytes()


def _detail_frames(scores: list[Score]) -> dict[str, pd.DataFrame]:
    """Title to table of the errors per joint, gesture and subject, a column per system."""
    joints = {score.system: score.by_joint() for score in scores}
    frames = {"Mean over hands per joint": _named_rows(_texts(joints), "joint")}
    for group, column in (("gesture (sequence)", "label"), ("subject", "subject")):
        found = {score.system: score.by_group(score.info[column]) for score in scores}
        counts = {name: count for g in found.values() for name, (_, count) in g.items()}
        frame = _texts({system: {k: mm for k, (mm, _) in g.items()} for system, g in found.items()})
        hands = [f"{counts[name]:,}" for name in frame.index]
        frame.insert(len(frame.columns), "hands", hands, allow_duplicates=True)
        frames[f"Mean over hands of their mean joint error, per {group}"] = _named_rows(
            frame, group
        )
    return frames


def _texts(errors_mm: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    return pd.DataFrame(errors_mm).map(lambda value: _number("MPJPE", value))


def _named_rows(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame.rename_axis(name).reset_index(allow_duplicates=True)


def _score_json(score: Score) -> dict:
    return _plain(
        {
            "protocol": score.protocol.to_json(),
            "card": score.protocol.card(),
            "values": score.values(),
            "hands": score.averages.num_hands,
            "meshes": score.averages.num_meshes,
            "empty_joints": score.averages.empty_joints,
            "joints": score.averages.joints,
            "left_out": dict(score.excluded),
            "by_joint_mm": score.by_joint(),
            "by_sequence_mm": score.by_group(score.info["label"]),
            "by_subject_mm": score.by_group(score.info["subject"]),
            "by_coarse_gesture_mm": score.by_group(score.info["coarse"]),
            "by_fine_gesture_mm": score.by_group(score.info["fine"]),
        }
    )


def _plain(value):
    """Convert NaN to None, and mappings and tuples to JSON types."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
