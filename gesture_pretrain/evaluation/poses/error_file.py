"""Files of per-hand errors, from which means and paired comparisons can be computed."""

import json
from collections.abc import Sequence
from pathlib import Path

from gesture_pretrain.evaluation.poses.score import Score
from gesture_pretrain.files.npz_file import write_npz


def save_hand_errors(path: Path | str, scores: Sequence[Score]) -> Path:
    """Write the per-hand errors of one system's scores to an .npz without pickled data.

    For N hands it holds `system`, `protocols_json` (protocol name -> protocol), the columns
    `info.NAME` (N,) of `Score.info`, and for each protocol `joint_mm.PROTOCOL` (N, 21) in mano21
    order and `vertex_mm.PROTOCOL` (N,), in mm, NaN where not counted.

    Raises:
        ValueError: There are no scores, or scores of several systems.
    """
    systems = {score.system for score in scores}
    if len(systems) != 1:
        raise ValueError(f"one file holds the errors of one system, got {sorted(systems)}")
    arrays = {f"info.{name}": column for name, column in scores[0].info.items()}
    for score in scores:
        arrays[f"joint_mm.{score.protocol.name}"] = score.errors.joint_mm
        arrays[f"vertex_mm.{score.protocol.name}"] = score.errors.vertex_mm
    protocols = {score.protocol.name: score.protocol.to_json() for score in scores}
    facts = {"system": scores[0].system, "protocols_json": json.dumps(protocols)}
    return write_npz(path, facts | arrays)
