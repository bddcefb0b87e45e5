"""Predictions of other systems, in a simple .npz or .json format.

For each predicted hand, a file contains

    joints     21 x 3, and / or
    vertices   778 x 3, a MANO mesh; both in the camera frame (x right, y down, z away)
    row | annotation_id | image    the image: row of the index, id, or path in the dataset
    hand       "right" or "left" (or 0, 1); optional if images show one hand

and once per file `joint_order` (or the 21 `joint_names`), `unit` ("m" or "mm"), and optionally
`system` and `box_source`. An .npz has arrays of these names with N entries; a .json has a list of
hands under `predictions`. The caller must provide values that the file does not state, and must
not contradict those that it does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS, SPLITS
from gesture_pretrain.evaluation.external.file import KEYS, ExternalFile, read_external_file
from gesture_pretrain.evaluation.external.skeleton_check import require_hand_size, require_skeleton
from gesture_pretrain.evaluation.poses.joint_order import (
    JOINT_ORDERS,
    JointOrderError,
    canonical_order,
    order_of_names,
    permutation,
)
from gesture_pretrain.evaluation.poses.mesh_joints import joints_of_mesh
from gesture_pretrain.evaluation.poses.predictions import PosePredictions, PredictionError
from gesture_pretrain.hand.model import HandModel

_UNITS_MM = {"mm": 1.0, "m": 1000.0}
_NUM_POINTS = {"joints": 21, "vertices": 778}


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
        path: Path of an .npz or .json file.
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
    content = read_external_file(path)
    try:
        order, unit = _stated_order(content, joint_order), _stated_unit(content, unit)
        rows = _rows(content, index, split)
        hand = _hands(content, index, rows)
        joints, vertices = (_points(content, name, unit) for name in ("joints", "vertices"))
        if joints is not None and check_skeleton:
            require_skeleton(joints, order, index, rows, hand)
        provenance = {
            "file": path.name,
            "joint_order": order.name,
            "unit": unit,
            "box_source": _agreed(content, "box_source", box_source),
            "joints": "regressed from the mesh" if joints is None else "as predicted",
        }
        if joints is None:
            joints = _joints_of_meshes(vertices, hand, hand_models)
        else:
            joints = joints[:, order.to_mano21]
        require_hand_size(joints, unit)
        name = system or str(content.stated.get("system") or path.stem)
        points = _relative_to_wrist(joints, vertices)
        return PosePredictions(name, index.fingerprint, rows, hand, *points, provenance=provenance)
    except (PredictionError, JointOrderError) as error:
        raise type(error)(f"{path}: {error}") from None


# --- values given once per file -----------------------------------------------------------


def _agreed(content: ExternalFile, name: str, asked: str | None) -> str | None:
    """Return the value from the file or the caller; None if neither states it."""
    own = content.stated.get(name)
    if own is not None and asked is not None and own != asked:
        raise PredictionError(f"the file states {name} {own!r}, but {asked!r} is given")
    return own if asked is None else asked


def _stated_unit(content: ExternalFile, asked: str | None) -> str:
    unit = _agreed(content, "unit", asked)
    if unit not in _UNITS_MM:
        problem = "unit is not stated" if unit is None else f"unit {unit!r} is not known"
        raise PredictionError(f"{problem}; state 'm' or 'mm', in the file or as an argument")
    return unit


@dataclass(frozen=True)
class _Order:
    name: str
    to_mano21: np.ndarray


def _stated_order(content: ExternalFile, asked: str | None) -> _Order:
    names, own = content.stated.get("joint_names"), content.stated.get("joint_order")
    if names is not None:
        by_names = _Order("given names", np.array(order_of_names(list(names))))
        for order in (own, asked):
            if order is None:
                continue
            if not np.array_equal(permutation("mano21", order), by_names.to_mano21):
                raise JointOrderError(
                    f"the joint names are not in {order} order, which is also stated"
                )
        return by_names
    if "joints" not in content.columns:
        return _Order("mano21", np.arange(21))
    if own is not None and asked is not None and canonical_order(own) != canonical_order(asked):
        raise JointOrderError(f"the file states joint order {own!r}, but {asked!r} is given")
    if own is None and asked is None:
        raise JointOrderError(
            f"the joint order is not stated; pass one of {', '.join(JOINT_ORDERS)}"
        )
    name = canonical_order(str(own if asked is None else asked))
    return _Order(name, permutation("mano21", name))


def _points(content: ExternalFile, name: str, unit: str) -> np.ndarray | None:
    """Read points (N, 21 or 778, 3), float64, mm."""
    if name not in content.columns:
        return None
    points, count = content.columns[name], _NUM_POINTS[name]
    if points.ndim != 3 or points.shape[1:] != (count, 3) or points.dtype.kind not in "fiu":
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


def _rows(content: ExternalFile, index: HandIndex, split: str | None) -> np.ndarray:
    keys = [key for key in KEYS if key in content.columns]
    if len(keys) != 1:
        raise PredictionError(
            f"images must be identified by exactly one of {', '.join(KEYS)}; it has "
            f"{', '.join(keys) or 'none'}"
        )
    values = content.columns[keys[0]]
    if keys[0] == "row":
        if values.dtype.kind not in "iu" or np.any((values < 0) | (values >= len(index))):
            raise PredictionError(f"rows must be integers from 0 to {len(index) - 1}")
        return values.astype(np.int64)
    candidates = index.select(split=split)
    if keys[0] == "annotation_id":
        return _rows_of_ids(values, index, candidates)
    return _rows_of_paths(values, index, candidates)


def _rows_of_ids(ids, index: HandIndex, candidates: np.ndarray) -> np.ndarray:
    column = "annotation_id" if "annotation_id" in index.columns else "image_id"
    table = _lookup(index.values(column, candidates).tolist(), candidates, "annotation ids")
    return _found([table.get(int(value)) for value in ids], ids, index)


def _rows_of_paths(paths, index: HandIndex, candidates: np.ndarray) -> np.ndarray:
    folders = {
        SPLITS.index(name): index.root / folder
        for name, folder in index.meta["image_folders"].items()
    }
    splits = index.values("split", candidates)
    names = [
        index.image_path(row).relative_to(folders[code]).as_posix()
        for row, code in zip(candidates.tolist(), splits.tolist(), strict=True)
    ]
    table = _lookup(names, candidates, "image names")
    return _found([_by_tail(table, str(name)) for name in paths], paths, index)


def _by_tail(table: dict[str, int], name: str) -> int | None:
    """Find the row whose image name equals the last components of a path."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    for start in range(len(parts)):
        row = table.get("/".join(parts[start:]))
        if row is not None:
            return row
    return None


def _lookup(keys: list, rows: np.ndarray, what: str) -> dict:
    table = dict(zip(keys, rows.tolist(), strict=True))
    if len(table) != len(keys):
        raise PredictionError(
            f"{what} repeat between splits of this index; state which split was predicted"
        )
    return table


def _found(rows: list[int | None], keys, index: HandIndex) -> np.ndarray:
    unknown = [str(key) for key, row in zip(keys, rows, strict=True) if row is None]
    if unknown:
        raise PredictionError(
            f"{len(unknown)} of {len(rows)} images are not in {index.path}, first {unknown[0]}"
        )
    return np.array(rows, np.int64)


def _hands(content: ExternalFile, index: HandIndex, rows: np.ndarray) -> np.ndarray:
    if "hand" not in content.columns:
        hand = index.values("hand", rows).astype(np.int64)
        if np.any(hand > 1):
            raise PredictionError(
                f"the hand is not stated, but {int(np.sum(hand > 1))} of its images show "
                "both hands or an unknown one. Add 'hand' (right or left)"
            )
        return hand
    values = content.columns["hand"]
    names = [HANDS[int(v)] if str(v) in ("0", "1") else str(v) for v in values.tolist()]
    if wrong := sorted(set(names) - set(HANDS[:2])):
        raise PredictionError(f"hand is {', '.join(wrong)}; it must be right or left")
    return np.array([HANDS.index(name) for name in names], np.int64)


# --- meshes ----------------------------------------------------------------------------------


def _joints_of_meshes(vertices, hand, hand_models) -> np.ndarray:
    joints = np.empty((len(vertices), 21, 3))
    for code, side in enumerate(HANDS[:2]):
        chosen = hand == code
        if not chosen.any():
            continue
        if hand_models is None or side not in hand_models:
            raise PredictionError(
                f"meshes without joints require the {side} hand model, to regress them"
            )
        model = hand_models[side]
        joints[chosen] = joints_of_mesh(
            vertices[chosen], model.joint_regressor, tip_convention=model.tip_convention
        )
    return joints


def _relative_to_wrist(
    joints_mm: np.ndarray, vertices_mm: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    wrist_mm = joints_mm[:, :1]
    if vertices_mm is None:
        return joints_mm - wrist_mm, None
    apart_mm = np.median(np.linalg.norm(joints_mm.mean(1) - vertices_mm.mean(1), axis=-1))
    if apart_mm > 100:
        raise PredictionError(
            f"joints and vertices are {apart_mm:.0f} mm apart (median); they must have the same "
            "frame and origin"
        )
    return joints_mm - wrist_mm, vertices_mm - wrist_mm
