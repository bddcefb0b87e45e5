"""Checks of every number before it enters an index, so that training needs none.

Each check works on whole columns and finds the images with impossible values.
Letters: N images, T time steps, K calibrations, F fits.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.record import SPLITS, unpack_flags
from gesture_pretrain.data.index.writer import path_columns
from gesture_pretrain.skeleton import BONES_MANO21

ON_INVALID = ("error", "drop")
SMALLEST_BOX_PX = 1.0
ROTATION_TOLERANCE = 1e-3  # |R R^T - I|; 1e-7 in InterHand2.6M
# Median over the bones of a hand. Adults have about 30 mm; metres and centimetres lie outside.
BONE_RANGE_MM = (5.0, 120.0)
LARGEST_MM = 1e6
LARGEST_FOCAL_PX = 1e6
# MANO fits: axis-angle in radians, shape in standard deviations, translation in metres
_FIT_LIMITS = np.repeat([4 * np.pi, 100.0, 100.0], [48, 10, 3])
_OTHER_COLUMNS = ("mano", "path_start", "path_text")

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Fault:
    """Images with one kind of invalid value.

    Attributes:
        kind: Short name, a key of the index's `checked` record.
        why: What is wrong, and in which annotation file.
        rows: Rows of the images, ascending.
    """

    kind: str
    why: str
    rows: np.ndarray


def gate(
    columns: Columns, image_sizes: list[list[int]], *, source: str, on_invalid: str = "error"
) -> tuple[Columns, dict]:
    """Refuse or drop images with impossible annotations.

    Args:
        columns: Columns of an index.
        image_sizes: Width and height by `size` code.
        source: Dataset, for messages.
        on_invalid: "error" to refuse the dataset, "drop" to leave these images out.

    Returns:
        The columns to store, and the record of the checks for `meta.json`.

    Raises:
        DataError: A value is invalid and `on_invalid` is "error", or no image is left.
        ValueError: `on_invalid` is unknown.
    """
    if on_invalid not in ON_INVALID:
        raise ValueError(f"on_invalid is {on_invalid!r}; possible: {', '.join(ON_INVALID)}")
    faults = list(find_faults(columns, image_sizes))
    record = {"on_invalid": on_invalid, "found": {f.kind: len(f.rows) for f in faults}}
    if not faults:
        return columns, {**record, "dropped_images": 0}
    found = "; ".join(_describe(fault, columns) for fault in faults)
    if on_invalid == "error":
        raise DataError(
            f"{source}: {found}. Correct the annotations, or leave these images out "
            '(on_invalid="drop").'
        )
    dropped = np.unique(np.concatenate([fault.rows for fault in faults]))
    kept = np.setdiff1d(np.arange(len(columns["step"])), dropped, assume_unique=True)
    if not len(kept):
        raise DataError(f"{source}: every image is invalid: {found}.")
    print(f"Left out {len(dropped):,} of {len(columns['step']):,} images: {found}.")
    return take_images(columns, kept), {**record, "dropped_images": len(dropped)}


def find_faults(columns: Columns, image_sizes: list[list[int]]) -> Iterator[Fault]:
    """Find every kind of invalid value in the columns of an index."""
    size_wh = np.asarray(image_sizes, np.float32)[columns["size"]]
    step, calibration = columns["step"], columns.get("calibration")
    found = []
    if "bbox_xywh_px" in columns:
        annotated = columns.get("annotation_id", columns["image_id"]) >= 0
        found += _box_faults(columns["bbox_xywh_px"], annotated, size_wh)
    if "detected_bbox_xywh_px" in columns:
        found += _detection_faults(
            columns["detected_bbox_xywh_px"], columns["detected_wrist_depth_mm"]
        )
    if calibration is not None:
        bad = _bad_calibrations(columns)
        why = "an impossible camera (camera.json: not finite, focal length <= 0, or no rotation)"
        found.append(("camera", why, (calibration >= 0) & bad[calibration]))
    if "step_joints_world_mm" in columns:
        found += [(kind, why, bad[step]) for kind, why, bad in _joint_faults(columns)]
    if calibration is not None and "step_joints_world_mm" in columns:
        why = "joints in view that lie behind their camera (joint_3d.json, camera.json)"
        found.append(("behind_camera", why, _behind_camera(columns)))
    if "step_mano" in columns and len(columns["mano"]):
        with np.errstate(invalid="ignore"):
            bad_fit = ~(np.abs(columns["mano"]) < _FIT_LIMITS).all(axis=1)
        fits = columns["step_mano"]
        bad = ((fits >= 0) & bad_fit[fits]).any(axis=1)
        why = "a MANO fit that is not finite or out of range (MANO_NeuralAnnot.json)"
        found.append(("fit", why, bad[step]))
    for kind, why, bad in found:
        if bad.any():
            yield Fault(kind, why, np.flatnonzero(bad))


def take_images(columns: Columns, rows: np.ndarray) -> Columns:
    """Select images from the columns; time steps, calibrations and fits stay."""
    count = len(columns["step"])
    kept = {
        name: column[rows] if _is_per_image(name) else column for name, column in columns.items()
    }
    if "path_start" in columns:
        starts, text = columns["path_start"], columns["path_text"].tobytes()
        assert len(starts) == count + 1
        paths = {
            place: text[starts[row] : starts[row + 1]].decode()
            for place, row in enumerate(rows.tolist())
            if starts[row + 1] > starts[row]
        }
        kept |= path_columns(paths, len(rows))
    return kept


def _is_per_image(name: str) -> bool:
    return not name.startswith(("step_", "camera_")) and name not in _OTHER_COLUMNS


def _box_faults(boxes: np.ndarray, annotated: np.ndarray, size_wh: np.ndarray) -> list[tuple]:
    """Find invalid boxes (N, 4), xywh; images without annotation have none."""
    finite = np.isfinite(boxes).all(axis=1)
    corner, extent = np.nan_to_num(boxes[:, :2]), np.nan_to_num(boxes[:, 2:])
    area = finite & (extent >= SMALLEST_BOX_PX).all(axis=1)
    with np.errstate(over="ignore"):
        overlap = ((corner < size_wh) & (corner + extent > 0)).all(axis=1)
    return [
        ("box_not_finite", "a bbox that is not finite (data.json)", annotated & ~finite),
        ("box_without_area", "a bbox below 1 px (data.json)", annotated & finite & ~area),
        ("box_outside", "a bbox outside the image (data.json)", annotated & area & ~overlap),
    ]


def _detection_faults(boxes: np.ndarray, depths_mm: np.ndarray) -> list[tuple]:
    """Find invalid detected boxes; all NaN means no detection."""
    absent = np.isnan(boxes).all(axis=1)
    usable = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] >= SMALLEST_BOX_PX).all(axis=1)
    bad = ~(absent | usable) | np.isinf(depths_mm).any(axis=1)
    return [("detection", "an impossible detection (rootnet_output)", bad)]


def _bad_calibrations(columns: Columns) -> np.ndarray:
    """Return (K,) whether a calibration is invalid."""
    rotation = columns["camera_R_cam_world"].astype(np.float64)
    focal = columns["camera_focal_px"]
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(rotation @ rotation.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2))
        good = (off < ROTATION_TOLERANCE) & (np.linalg.det(rotation) > 0)
        good &= ((focal > 0) & (focal < LARGEST_FOCAL_PX)).all(axis=1)
        for name in ("camera_center_mm", "camera_princpt_px"):
            good &= (np.abs(columns[name]) < LARGEST_MM).all(axis=1)
    return ~good


def _known_joints(columns: Columns) -> np.ndarray:
    """Return (T, 2, 21) bool: triangulated joints."""
    flags = unpack_flags(columns["step_triangulated_bits"])
    return flags & (columns["step_has_joints"] > 0)[:, None, None]


def _joint_faults(columns: Columns) -> list[tuple]:
    """Find faults of (T,) time steps."""
    joints, known = columns["step_joints_world_mm"], _known_joints(columns)
    with np.errstate(invalid="ignore"):
        wild = (known & ~(np.abs(joints) < LARGEST_MM).all(axis=-1)).any(axis=(1, 2))
    low, high = BONE_RANGE_MM
    parents, children = np.array(BONES_MANO21).T
    both = known[..., parents] & known[..., children]
    with np.errstate(invalid="ignore", over="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # hands without a known bone
        length = np.linalg.norm(joints[:, :, children] - joints[:, :, parents], axis=-1)
        median = np.nanmedian(np.where(both, length, np.nan), axis=-1)
        odd = ((median < low) | (median > high)).any(axis=1) & ~wild
    why = f"a median bone length outside {low:g} to {high:g} mm (joint_3d.json; other units?)"
    return [
        ("joint_not_finite", "valid joints that are not finite numbers (joint_3d.json)", wild),
        ("bone_length", why, odd),
    ]


def _behind_camera(columns: Columns) -> np.ndarray:
    """Return (N,) whether a joint that is marked as visible has a depth <= 0.

    A sphere around the joints of a time step decides for most images; the others are computed.
    """
    step, calibration = columns["step"], columns["calibration"]
    joints, known = columns["step_joints_world_mm"], _known_joints(columns)
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(joints).all(axis=-1)
        known = known & finite
        points = np.where(known[..., None], joints, 0).reshape(len(joints), 42, 3)
        count = np.maximum(known.sum(axis=(1, 2)), 1)[:, None]
        centre = points.sum(axis=1) / count
        away = np.linalg.norm(points - centre[:, None], axis=-1)
        radius = np.where(known.reshape(-1, 42), away, 0).max(axis=1)
        forward = columns["camera_R_cam_world"][:, 2]
        offset = (forward * columns["camera_center_mm"]).sum(axis=1)
        depth = np.einsum("nk,nk->n", centre[step], forward[calibration]) - offset[calibration]
        seen = (calibration >= 0) & known.any(axis=(1, 2))[step]
        near = np.flatnonzero(seen & (depth - radius[step] <= 0))
        exact = np.einsum("njk,nk->nj", points[step[near]], forward[calibration[near]])
        exact -= offset[calibration[near], None]
    visible = (unpack_flags(columns["in_view_bits"][near]) & known[step[near]]).reshape(-1, 42)
    behind = np.zeros(len(step), bool)
    behind[near] = (visible & (exact <= 0)).any(axis=1)
    return behind


def _describe(fault: Fault, columns: Columns) -> str:
    row = int(fault.rows[0])
    step = columns["step"][row]
    split = SPLITS[columns["step_split"][step]]
    capture, frame = columns["step_capture"][step], columns["step_frame"][step]
    image = int(columns["image_id"][row]) if "image_id" in columns else row
    images = "1 image" if len(fault.rows) == 1 else f"{len(fault.rows):,} images"
    return (
        f"{images} with {fault.why}, the first is image {image} of {split} "
        f"(row {row}, capture {capture}, frame {frame})"
    )


def check_relative_path(path: object, source: str) -> None:
    """Refuse a path that leaves the dataset.

    Raises:
        DataError: It is not a string, is empty or absolute, or holds `..`.
    """
    if (
        not isinstance(path, str)
        or not path
        or path.startswith(("/", "\\"))
        or "\0" in path
        or ".." in path.replace("\\", "/").split("/")
    ):
        raise DataError(
            f"{source}: the path {path!r} leads out of the dataset. Paths are relative to its "
            "folder and hold no '..'."
        )


def check_names(names: Mapping[str, object] | list, source: str) -> None:
    """Check sequence and camera names, which become parts of paths."""
    for name in names:
        check_relative_path(name, source)
