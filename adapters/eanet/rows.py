"""Select the images that EANet can use, and their boxes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapters.eanet.boxes import box_of_hands, boxes_are_usable, crop_box
from adapters.eanet.targets import Camera
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS, HandRecord
from gesture_pretrain.geometry.camera import (
    project_px,
    translation_of_camera_mm,
    world_to_camera_mm,
)

BOX_SOURCES = ("joints", "rootnet")
_CHUNK = 4096
_NEEDED = ("step_joints_world_mm", "step_triangulated_bits", "in_view_bits", "calibration")


class CapturedHands(NamedTuple):
    """Annotated joints of both hands, right first, in the camera of the image.

    Attributes:
        joints_cam_mm: (2, 21, 3); 1, 1, 1 where not valid.
        joints_px: (2, 21, 2), their projections.
        valid: (2, 21) bool, the joint and its wrist were triangulated, in front of the camera.
        in_view: (2, 21) bool, the joint and its wrist are annotated inside the image.
    """

    joints_cam_mm: np.ndarray
    joints_px: np.ndarray
    valid: np.ndarray
    in_view: np.ndarray


class RowSelection(NamedTuple):
    """Usable rows, in the given order, and counts of the others by reason."""

    rows: np.ndarray
    dropped: dict[str, int]

    def describe(self) -> str:
        """Return a one-line summary."""
        reasons = ", ".join(f"{count} {why}" for why, count in self.dropped.items() if count)
        return f"EANet uses {len(self.rows)} images" + (f"; left out: {reasons}" if reasons else "")


def captured_hands(record: HandRecord) -> CapturedHands:
    """Return the captured joints of an image in its camera.

    Raises:
        DataError: The image has no joints or no camera.
    """
    if record.joints_world_mm is None or record.R_cam_world is None:
        raise DataError(
            f"row {record.row} has no 3D joints or no camera; EANet needs both. "
            "`usable_rows` leaves such images out."
        )
    joints = world_to_camera_mm(
        np.nan_to_num(record.joints_world_mm), record.R_cam_world, record.camera_center_mm
    )
    valid, in_view = _with_wrist(record.joint_triangulated), _with_wrist(record.joint_in_view)
    valid &= joints[..., 2] > 0
    joints[~valid] = 1.0
    return CapturedHands(
        joints, project_px(joints, record.focal_px, record.princpt_px), valid, in_view
    )


def camera_of(record: HandRecord) -> Camera:
    """Return the camera of an image, in metres."""
    t_mm = translation_of_camera_mm(record.R_cam_world, record.camera_center_mm)
    return Camera(
        np.float64(record.R_cam_world),
        t_mm / 1000,
        np.float64(record.focal_px),
        np.float64(record.princpt_px),
    )


def box_of(
    index: HandIndex,
    record: HandRecord,
    source: str,
    *,
    hands: CapturedHands | None = None,
    box_bug: bool = False,
) -> np.ndarray:
    """Return the box of an image before augmentation, (4,) xywh px.

    Args:
        index: The index of the record.
        record: The image.
        source: "joints": from the captured joints, as in training. "rootnet": RootNet's box as it
            is, as in upstream's test.
        hands: Result of `captured_hands`, if already computed.
        box_bug: See `boxes.box_of_hands`.

    Raises:
        ValueError: The box is outside the image or missing, or the source is unknown.
    """
    if source == "joints":
        hands = captured_hands(record) if hands is None else hands
        around = box_of_hands(hands.joints_px, hands.valid, record.hand, box_bug=box_bug)
        return crop_box(around, record.image_size_wh)
    if source != "rootnet":
        raise ValueError(f"box_source is {source!r}; possible: {', '.join(BOX_SOURCES)}")
    box = index.columns["detected_bbox_xywh_px"][record.row].astype(np.float64)
    if np.isnan(box).any():
        raise ValueError(f"row {record.row} has no RootNet box; use box_source 'joints'")
    return box


def usable_rows(
    index: HandIndex,
    rows: Sequence[int],
    box_source: str = "joints",
    *,
    box_bug: bool = False,
) -> RowSelection:
    """Select the rows that EANet's loader keeps.

    It leaves out an image without any valid triangulated joint, without any joint in view, or with
    no usable box. (A joint counts only if the wrist of its hand does.)

    Raises:
        DataError: The index has no joints, flags or cameras, or no boxes of RootNet's if those are
            asked for.
        ValueError: Unknown box source.
    """
    if box_source not in BOX_SOURCES:
        raise ValueError(f"box_source is {box_source!r}; possible: {', '.join(BOX_SOURCES)}")
    needed = _NEEDED + (("detected_bbox_xywh_px",) if box_source == "rootnet" else ())
    missing = [name for name in needed if name not in index.columns]
    if missing:
        raise DataError(
            f"{index.path} lacks {', '.join(missing)}; EANet needs triangulated joints, cameras "
            "and, for box_source 'rootnet', RootNet's output in InterHand2.6M's layout."
        )
    rows = np.asarray(rows, np.int64)
    kept, dropped = [], {}
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        reasons = _reasons(index, part, box_source, box_bug)
        fine = np.ones(len(part), bool)
        for why, bad in reasons.items():
            dropped[why] = dropped.get(why, 0) + int(np.count_nonzero(bad & fine))
            fine &= ~bad
        kept.append(part[fine])
    return RowSelection(np.concatenate(kept) if kept else rows, dropped)


def _reasons(
    index: HandIndex, rows: np.ndarray, box_source: str, box_bug: bool
) -> dict[str, np.ndarray]:
    columns = index.columns
    steps = columns["step"][rows]
    camera = columns["calibration"][rows]
    in_view = _with_wrist(_flags(columns["in_view_bits"][rows]))
    triangulated = _with_wrist(_flags(columns["step_triangulated_bits"][steps]))
    if "step_has_joints" in columns:
        triangulated &= (columns["step_has_joints"][steps] > 0)[:, None, None]
    joints = _joints_cam_mm(columns, steps, camera)
    triangulated &= joints[..., 2] > 0
    if box_source == "rootnet":
        has_box = ~np.isnan(columns["detected_bbox_xywh_px"][rows]).any(axis=1)
    else:
        pixels = _project_px(columns, joints, camera)
        sizes = np.stack([index.values("width", rows), index.values("height", rows)], axis=1)
        hands = columns["hand"][rows]
        has_box = boxes_are_usable(pixels, triangulated, hands, sizes, box_bug=box_bug)
    return {
        "without camera": camera < 0,
        "without annotated hand": columns["hand"][rows] > HANDS.index("interacting"),
        "without valid 3D joint": ~triangulated.any(axis=(1, 2)),
        "without joint in view": ~in_view.any(axis=(1, 2)),
        "without usable box": ~has_box,
    }


def _joints_cam_mm(columns, steps: np.ndarray, camera: np.ndarray) -> np.ndarray:
    world = np.nan_to_num(columns["step_joints_world_mm"][steps].astype(np.float64))
    centre = columns["camera_center_mm"][camera].astype(np.float64)
    rotation = columns["camera_R_cam_world"][camera].astype(np.float64)
    moved = world - centre[:, None, None]
    return np.einsum("nij,nhkj->nhki", rotation, moved)


def _project_px(columns, joints: np.ndarray, camera: np.ndarray) -> np.ndarray:
    depth = np.where(joints[..., 2:] > 0, joints[..., 2:], 1.0)
    focal, centre = columns["camera_focal_px"][camera], columns["camera_princpt_px"][camera]
    return joints[..., :2] / depth * focal[:, None, None] + centre[:, None, None]


def _flags(bits: np.ndarray) -> np.ndarray:
    flags = np.unpackbits(bits, axis=1, count=42, bitorder="little")
    return flags.view(bool).reshape(-1, 2, 21)


def _with_wrist(flags: np.ndarray) -> np.ndarray:
    """Mask (..., 2, 21) joints of hands whose wrist is invalid."""
    return flags & flags[..., :1]
