"""Files of per-hand errors, from which means and paired comparisons are computed."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gesture_pretrain.evaluation.poses.predictions import PredictionError
from gesture_pretrain.evaluation.poses.protocol import Protocol
from gesture_pretrain.evaluation.poses.score import Score
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.files.json_file import parse_json
from gesture_pretrain.files.npz_file import read_npz


@dataclass(frozen=True)
class HandErrorFile:
    """Errors of one system under several protocols; N hands.

    Attributes:
        system: Name of the system.
        protocols: Name -> protocol, bound to boxes and split.
        info: Columns (N,): rows, hand, interacting, capture, subject, frame, camera, label, coarse,
            fine.
        joint_mm: Protocol -> (N, 21) float64 mm, NaN where not counted, mano21 order.
        vertex_mm: Protocol -> (N,) float64 mm, NaN where not counted.
    """

    system: str
    protocols: dict[str, Protocol]
    info: dict[str, np.ndarray]
    joint_mm: dict[str, np.ndarray]
    vertex_mm: dict[str, np.ndarray]


def save_hand_errors(path: Path | str, scores: Sequence[Score]) -> Path:
    """Write the per-hand errors of one system's scores to an .npz without pickled data.

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
    content = io.BytesIO()
    np.savez(
        content,
        system=np.array(scores[0].system),
        protocols_json=np.array(json.dumps(protocols)),
        **arrays,
    )
    write_bytes_atomically(path, content.getvalue())
    return Path(path)


def load_hand_errors(path: Path | str) -> HandErrorFile:
    """Read a file of ``save_hand_errors``; raise PredictionError for any other file."""
    path = Path(path)
    content = read_npz(path, PredictionError)
    if missing := sorted({"system", "protocols_json"} - content.keys()):
        raise PredictionError(
            f"{path} lacks {', '.join(missing)}; it is not a file of hand errors."
        )

    def part(prefix: str) -> dict[str, np.ndarray]:
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in content.items() if k.startswith(start)}

    protocols = parse_json(str(content["protocols_json"]), str(path), PredictionError)
    return HandErrorFile(
        str(content["system"]),
        {name: Protocol.from_json(value) for name, value in protocols.items()},
        part("info"),
        part("joint_mm"),
        part("vertex_mm"),
    )
