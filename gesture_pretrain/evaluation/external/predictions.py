"""Predictions of other systems, in an .npz file of named arrays.

For each of N predicted hands, the file contains

    joints     (N, 21, 3), and / or
    vertices   (N, 778, 3), a MANO mesh; both in the camera frame (x right, y down, z away)
    row | annotation_id | image    (N,) the image: row of the index, id, or path in the dataset
    hand       (N,) "right" or "left" (or 0, 1); optional if images show one hand

and once per file `joint_order`, `unit` ("m" or "mm"), and optionally `system` and `box_source`. The
caller must provide values that the file does not state, and must not contradict those that it does.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS, SPLITS
from gesture_pretrain.evaluation.external.skeleton_check import require_hand_size, require_skeleton
from gesture_pretrain.evaluation.poses.joint_order import (
    JOINT_ORDERS,
    JointOrderError,
    canonical_order,
    permutation,
)
from gesture_pretrain.evaluation.poses.mesh_joints import joints_of_hands
from gesture_pretrain.evaluation.poses.predictions import PosePredictions, PredictionError
from gesture_pretrain.files.npz_file import read_npz
from gesture_pretrain.hand.model import HandModel

_KEYS = ("row", "annotation_id", "image")
_NUM_POINTS = {"joints": 21, "vertices": 778}
_PER_HAND = (*_KEYS, "hand", *_NUM_POINTS)
_PER_FILE = ("system", "joint_order", "unit", "box_source")
_UNITS_MM = {"mm": 1.0, "m": 1000.0}
_LARGEST_DISTANCE_MM = 100.0  # between the centres of joints and vertices of one hand


def read_external_predictions(
    path: Path | str,
    index: HandIndex,
    *,
    system: str | None = None,
    joint_order: str | None = None,
    unit: str | None = None,
    split: str | None = None,
    box_source: str | None = None,
    hand_models: Mapping[str, HandModel] | None = None,
    check_skeleton: bool = True,
) -> PosePredictions:
    """Read a predictions file of another system; see the module docstring for its format.

    Args:
        path: Path of an .npz file.
        index: Index of the predicted images.
        system: Name in tables. Default: that of the file, else its base name.
        joint_order: "mano21" ("openpose", "freihand"), "interhand21" or "mano16_tips" ("smplx").
            Required unless the file states it.
        unit: "m" or "mm". Required unless the file states it.
        split: Split of images that are identified by path, because image names of val and test
            coincide.
        box_source: Origin of the crop boxes, if the file does not state it.
        hand_models: Hand models, required if the file has only vertices. Joints are then regressed
            with the models' tip convention.
        check_skeleton: Reject joints whose bones do not match the stated order.

    Raises:
        PredictionError: The file has another format, unknown images, an implausible unit, or
            contradicts an argument.
        JointOrderError: The joint order is missing, contradicted, or not that of the bones.
    """
    path = Path(path)
    content = read_npz(path, PredictionError)
    try:
        columns, stated = _columns(content), _stated(content, unit=unit, box_source=box_source)
        unit = stated.get("unit")
        if unit not in _UNITS_MM:
            raise PredictionError(f"unit is {unit!r}; state 'm' or 'mm' in the file or the call")
        rows = _rows(columns, index, split)
        hand = _hands(columns, index, rows)
        joints, vertices = (_points(columns, name, unit) for name in _NUM_POINTS)
        if joints is None:
            order = "regressed from the mesh"
            joints = _joints_of_meshes(vertices, hand, hand_models)
        else:
            order = _joint_order(stated.get("joint_order"), joint_order)
            joints = joints[:, permutation("mano21", order)]
            if check_skeleton:
                require_skeleton(joints, index, rows, hand)
        require_hand_size(joints, unit)
        return PosePredictions(
            system or stated.get("system") or path.stem,
            index.fingerprint,
            rows,
            hand,
            *_relative_to_wrist(joints, vertices),
            provenance={
                "file": path.name,
                "joints": order,
                "unit": unit,
                "box_source": stated.get("box_source"),
            },
        )
    except (PredictionError, JointOrderError) as error:
        raise type(error)(f"{path}: {error}") from None


# --- content of the file ---------------------------------------------------------------------


def _columns(content: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays with an entry per hand."""
    if unknown := sorted(content.keys() - {*_PER_HAND, *_PER_FILE}):
        raise PredictionError(
            f"it has unknown names {', '.join(map(repr, unknown))}. Allowed per hand: "
            f"{', '.join(_PER_HAND)}; per file: {', '.join(_PER_FILE)}"
        )
    if not content.keys() & _NUM_POINTS.keys():
        raise PredictionError("it has neither joints nor vertices")
    columns = {name: content[name] for name in _PER_HAND if name in content}
    counts = {name: column.shape[:1] for name, column in columns.items()}
    if len(set(counts.values())) != 1 or () in counts.values():
        raise PredictionError(f"columns differ in length: {counts}")
    return columns


def _stated(content: Mapping[str, np.ndarray], **asked: str | None) -> dict[str, str]:
    """Return the values given once, by the file or by the caller."""
    stated = {name: content[name].tolist() for name in _PER_FILE if name in content}
    for name, value in stated.items():
        if not isinstance(value, str):
            raise PredictionError(f"{name} must be a string, got {str(value)[:60]}")
    for name, value in asked.items():
        if value is not None and stated.setdefault(name, value) != value:
            raise PredictionError(
                f"the file states {name} {stated[name]!r}, but {value!r} is given"
            )
    return stated


def _joint_order(own: str | None, asked: str | None) -> str:
    orders = {canonical_order(name) for name in (own, asked) if name is not None}
    if len(orders) != 1:
        found = f"the file states {own!r}, but {asked!r} is given" if orders else "it is not stated"
        raise JointOrderError(f"joint order: {found}; state one of {', '.join(JOINT_ORDERS)}")
    return orders.pop()


def _points(columns: Mapping[str, np.ndarray], name: str, unit: str) -> np.ndarray | None:
    """Read points (N, 21 or 778, 3), float64, mm."""
    if name not in columns:
        return None
    points, count = columns[name], _NUM_POINTS[name]
    if points.shape[1:] != (count, 3) or points.dtype.kind not in "fiu":
        raise PredictionError(
            f"{name} is {points.dtype} {points.shape}; expected numbers (N, {count}, 3)"
        )
    broken = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
    if len(broken):
        raise PredictionError(
            f"{name} of {len(broken)} of {len(points)} hands are not finite, first hand "
            f"{broken[0]} of the file. Leave out hands that were not predicted"
        )
    return points.astype(np.float64) * _UNITS_MM[unit]


# --- which image, which hand -----------------------------------------------------------------


def _rows(columns: Mapping[str, np.ndarray], index: HandIndex, split: str | None) -> np.ndarray:
    keys = [key for key in _KEYS if key in columns]
    if len(keys) != 1:
        raise PredictionError(
            f"images must be identified by exactly one of {', '.join(_KEYS)}; it has "
            f"{', '.join(keys) or 'none'}"
        )
    values = columns[keys[0]]
    if keys[0] == "row":
        if values.dtype.kind not in "iu" or np.any((values < 0) | (values >= len(index))):
            raise PredictionError(f"rows must be integers from 0 to {len(index) - 1}")
        return values.astype(np.int64)
    candidates = index.select(split=split)
    if keys[0] == "annotation_id":
        column = "annotation_id" if "annotation_id" in index.columns else "image_id"
        table = _lookup(index.values(column, candidates).tolist(), candidates, "annotation ids")
        found = [table.get(int(value)) for value in values]
    else:
        table = _lookup(_image_names(index, candidates), candidates, "image names")
        found = [_by_tail(table, str(name)) for name in values]
    unknown = [str(value) for value, row in zip(values, found, strict=True) if row is None]
    if unknown:
        raise PredictionError(
            f"{len(unknown)} of {len(found)} images are not in {index.path}, first {unknown[0]}"
        )
    return np.array(found, np.int64)


def _image_names(index: HandIndex, rows: np.ndarray) -> list[str]:
    """List the paths of images below the folders of their splits."""
    folders = index.meta["image_folders"]
    return [
        index.image_path(row).relative_to(index.root / folders[SPLITS[code]]).as_posix()
        for row, code in zip(rows.tolist(), index.values("split", rows).tolist(), strict=True)
    ]


def _lookup(keys: list, rows: np.ndarray, what: str) -> dict:
    table = dict(zip(keys, rows.tolist(), strict=True))
    if len(table) != len(keys):
        raise PredictionError(
            f"{what} repeat between splits of this index; state which split was predicted"
        )
    return table


def _by_tail(table: dict[str, int], name: str) -> int | None:
    """Find the row whose image name equals the last components of a path."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((table[tail] for tail in tails if tail in table), None)


def _hands(columns: Mapping[str, np.ndarray], index: HandIndex, rows: np.ndarray) -> np.ndarray:
    if "hand" not in columns:
        hand = index.values("hand", rows).astype(np.int64)
        if np.any(hand > 1):
            raise PredictionError(
                f"the hand is not stated, but {int(np.sum(hand > 1))} of its images show "
                "both hands or an unknown one. Add 'hand' (right or left)"
            )
        return hand
    codes = {"0": 0, "1": 1, "right": 0, "left": 1}
    names = [str(value) for value in columns["hand"].tolist()]
    if wrong := sorted(set(names) - codes.keys()):
        raise PredictionError(f"hand is {', '.join(wrong)}; it must be right or left")
    return np.array([codes[name] for name in names], np.int64)


# --- meshes ----------------------------------------------------------------------------------


def _joints_of_meshes(
    vertices: np.ndarray, hand: np.ndarray, hand_models: Mapping[str, HandModel] | None
) -> np.ndarray:
    if hand_models is None:
        raise PredictionError("meshes without joints require the hand models, to regress them")
    tips = hand_models[HANDS[0]].tip_convention
    return joints_of_hands(vertices, hand, hand_models, tip_convention=tips)


def _relative_to_wrist(
    joints_mm: np.ndarray, vertices_mm: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    wrist_mm = joints_mm[:, :1]
    if vertices_mm is None:
        return joints_mm - wrist_mm, None
    apart_mm = np.median(np.linalg.norm(joints_mm.mean(1) - vertices_mm.mean(1), axis=-1))
    if apart_mm > _LARGEST_DISTANCE_MM:
        raise PredictionError(
            f"joints and vertices are {apart_mm:.0f} mm apart (median); they must have the same "
            "frame and origin"
        )
    return joints_mm - wrist_mm, vertices_mm - wrist_mm
