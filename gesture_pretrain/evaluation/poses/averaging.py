"""Averaging of errors by a protocol. Letters: N hands, I images, J = 21 joints."""

from dataclasses import dataclass, field

import numpy as np

from gesture_pretrain.evaluation.poses.metrics import mean_known
from gesture_pretrain.evaluation.poses.protocol import Protocol
from gesture_pretrain.skeleton import HANDS, JOINT_NAMES_MANO21


@dataclass(frozen=True)
class Averages:
    """Means by group of images; NaN if there is nothing to average.

    Attributes:
        mpjpe_mm, mpvpe_mm: Group -> mean error, mm.
        num_hands: Group -> number of hands with a counted joint.
        num_meshes: Group -> number of compared meshes.
        empty_joints: Group -> names of the joints without a counted sample.
        joints: Group -> description of the averaged joints, such as "right hand, 21 joints".
    """

    mpjpe_mm: dict[str, float]
    mpvpe_mm: dict[str, float]
    num_hands: dict[str, int] = field(default_factory=dict)
    num_meshes: dict[str, int] = field(default_factory=dict)
    empty_joints: dict[str, list[str]] = field(default_factory=dict)
    joints: dict[str, str] = field(default_factory=dict)


def average(
    protocol: Protocol,
    joint_mm: np.ndarray,
    vertex_mm: np.ndarray,
    *,
    rows: np.ndarray,
    hand: np.ndarray,
    interacting: np.ndarray,
) -> Averages:
    """Compute the means of a protocol.

    Args:
        protocol: Evaluation protocol.
        joint_mm: (N, J) errors, NaN where not counted.
        vertex_mm: (N,) errors, NaN where not counted.
        rows: (N,) image of each hand.
        hand: (N,) 0 right, 1 left.
        interacting: (N,) bool, whether the image shows two hands.
    """
    images = _by_image(joint_mm, vertex_mm, rows, hand, interacting)
    chosen = {
        "single": ~images.interacting,
        "interacting": images.interacting,
        "all": np.ones(len(images.interacting), bool),
    }
    if protocol.images == "interacting":
        chosen = {name: where & images.interacting for name, where in chosen.items()}
    joint = {name: images.joint_mm[where] for name, where in chosen.items()}
    vertex = {name: images.vertex_mm[where] for name, where in chosen.items()}
    mpjpe = {name: _mean_of_joints(protocol, values) for name, values in joint.items()}
    if protocol.averaging == "joint, then joints and groups":
        both = [joint_means(joint[name]) for name in ("single", "interacting")]
        mpjpe["all"] = _mean(np.concatenate(both), protocol.empty_joint)
    return Averages(
        mpjpe_mm=mpjpe,
        mpvpe_mm={
            name: _mean_of_meshes(protocol, vertex[name], images.interacting[where])
            for name, where in chosen.items()
        },
        num_hands={name: int((~np.isnan(v)).any(-1).sum()) for name, v in joint.items()},
        num_meshes={name: int((~np.isnan(v)).sum()) for name, v in vertex.items()},
        empty_joints={name: _empty_joints(values) for name, values in joint.items()},
        joints={name: averaged_joints(values) for name, values in joint.items()},
    )


def joint_means(joint_mm: np.ndarray) -> np.ndarray:
    """Average each joint over images: (I, 2, J) to (2 J,); NaN without a counted image."""
    return mean_known(joint_mm.reshape(len(joint_mm), 2 * joint_mm.shape[-1]), axis=0)


@dataclass(frozen=True)
class _Images:
    joint_mm: np.ndarray  # (I, 2, J)
    vertex_mm: np.ndarray  # (I, 2)
    interacting: np.ndarray  # (I,)


def _by_image(joint_mm, vertex_mm, rows, hand, interacting) -> _Images:
    images, first, position = np.unique(rows, return_index=True, return_inverse=True)
    joint = np.full((len(images), 2, joint_mm.shape[-1]), np.nan)
    vertex = np.full((len(images), 2), np.nan)
    joint[position, hand], vertex[position, hand] = joint_mm, vertex_mm
    return _Images(joint, vertex, np.asarray(interacting, bool)[first])


def _mean_of_joints(protocol: Protocol, joint_mm: np.ndarray) -> float:
    if protocol.averaging in ("joint, then joints", "joint, then joints and groups"):
        return _mean(joint_means(joint_mm), protocol.empty_joint)
    if protocol.averaging == "pairs":
        return _mean(joint_mm, "left out")
    if protocol.averaging == "sample":
        return _mean(mean_known(joint_mm, axis=-1), "left out")
    return _mean(np.array([_mean(joint_mm[:, side], "left out") for side in (0, 1)]), "nan")


def _mean_of_meshes(protocol: Protocol, vertex_mm: np.ndarray, interacting: np.ndarray) -> float:
    if protocol.averaging == "sample":
        return _mean(vertex_mm, "left out")
    if protocol.averaging == "hand":
        return _mean(np.array([_mean(vertex_mm[:, side], "left out") for side in (0, 1)]), "nan")
    # an interacting image counts if both of its meshes do
    both = vertex_mm.mean(1) if len(vertex_mm) else np.zeros(0)
    return _mean(np.where(interacting, both, mean_known(vertex_mm, axis=-1)), "left out")


def _mean(values: np.ndarray, empty: str) -> float:
    """Average all values; NaN values make the mean NaN, or are left out."""
    if empty == "left out":
        values = values[~np.isnan(values)]
    return float(np.mean(values)) if values.size else float("nan")


def averaged_joints(joint_mm: np.ndarray) -> str:
    """Describe the joints of (I, 2, J) errors that count, such as "right hand, 21 joints"."""
    counts = (~np.isnan(joint_mm)).any(0).sum(1)
    sides = [side for side, count in zip(HANDS, counts, strict=False) if count]
    if not sides:
        return "no hand"
    total = len(sides) * joint_mm.shape[-1]
    name = f"{sides[0]} hand" if len(sides) == 1 else "both hands"
    found = int(counts.sum())
    return f"{name}, {total} joints" if found == total else f"{name}, {found} of {total} joints"


def _empty_joints(joint_mm: np.ndarray) -> list[str]:
    names = [f"{side} {joint}" for side in HANDS[:2] for joint in JOINT_NAMES_MANO21]
    empty = np.isnan(joint_mm).all(0).ravel()
    return [name for name, is_empty in zip(names, empty, strict=True) if is_empty]
