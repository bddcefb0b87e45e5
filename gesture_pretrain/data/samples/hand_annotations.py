"""Batched annotations of an index: boxes, handedness, joints in the camera and in the image.

Reading them image by image would take a quarter of the time of decoding.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import unpack_flags

BOX_SOURCES = ("annotation", "rootnet")
_SINGLE_HANDS = 2  # codes 0 right and 1 left of the index


class HandAnnotations(NamedTuple):
    """Annotations of N images, in the pixels of their images and the frames of their cameras.

    Attributes:
        files: Paths of the images.
        sizes_wh: (N, 2) sizes of the images.
        boxes_xywh_px: (N, 4) squares to be shown; NaN where an image has no box.
        hands: (N,) 0 right, 1 left, -1 unknown or two hands.
        keypoints_px: (N, 21, 2) joints, mano21 order; arbitrary where not valid.
        joints_rel_mm: (N, 21, 3) joints minus the wrist; arbitrary where not valid.
        joint_valid: (N, 21) bool.
    """

    files: list[str]
    sizes_wh: np.ndarray
    boxes_xywh_px: np.ndarray
    hands: np.ndarray
    keypoints_px: np.ndarray
    joints_rel_mm: np.ndarray
    joint_valid: np.ndarray


class AnnotationReader:
    """Reads `HandAnnotations` of an index.

    Args:
        index: The index.
        box_ratio: Side of the square over the longer side of the annotated box.
        box_source: "annotation", or "rootnet" for the boxes detected by RootNet, which are already
            square and enlarged.

    Raises:
        ValueError: The source is unknown, or the index has no detections.
    """

    def __init__(self, index: HandIndex, *, box_ratio: float, box_source: str = "annotation"):
        self.index, self.box_ratio, self.box_source = index, box_ratio, box_source
        self._columns = {name: np.asarray(column) for name, column in index.columns.items()}
        if box_source not in BOX_SOURCES:
            raise ValueError(f"box_source is {box_source!r}; possible: {', '.join(BOX_SOURCES)}")
        if box_source == "rootnet" and "detected_bbox_xywh_px" not in self._columns:
            raise ValueError(
                "the index has no RootNet boxes. Put rootnet_interhand2.6m_output_*.json into "
                "rootnet_output and build the index again, or use box_source='annotation'."
            )
        self._sizes_wh = np.asarray(index.meta["image_sizes"], np.int64).reshape(-1, 2)

    def __reduce__(self) -> tuple:
        options = {"box_ratio": self.box_ratio, "box_source": self.box_source}
        return partial(AnnotationReader, **options), (self.index,)

    def read(self, rows: np.ndarray) -> HandAnnotations:
        """Return the annotations of some rows."""
        columns = self._columns
        hands = columns["hand"][rows].astype(np.int64)
        hands[hands >= _SINGLE_HANDS] = -1
        return HandAnnotations(
            [self.index.image_file(row) for row in rows.tolist()],
            self._sizes_wh[columns["size"][rows]],
            self.boxes(rows),
            hands,
            *self._joints(rows, hands),
        )

    def boxes(self, rows: np.ndarray) -> np.ndarray:
        """Return (N, 4) squares that crops show, xywh pixels; NaN where an image has no box."""
        if self.box_source == "rootnet":
            return self._columns["detected_bbox_xywh_px"][rows].astype(np.float64)
        if "bbox_xywh_px" not in self._columns:
            return np.full((len(rows), 4), np.nan)
        boxes = self._columns["bbox_xywh_px"][rows].astype(np.float64)
        side = self.box_ratio * boxes[:, 2:].max(axis=1, keepdims=True)
        return np.hstack([boxes[:, :2] + boxes[:, 2:] / 2 - side / 2, side, side])

    def _joints(self, rows: np.ndarray, hands: np.ndarray) -> tuple[np.ndarray, ...]:
        columns, count = self._columns, len(rows)
        if "calibration" not in columns or "step_has_joints" not in columns:
            return np.zeros((count, 21, 2)), np.zeros((count, 21, 3)), np.zeros((count, 21), bool)
        steps = columns["step"][rows]
        camera = columns["calibration"][rows]
        known = (hands >= 0) & (camera >= 0) & columns["step_has_joints"][steps].astype(bool)
        side = np.maximum(hands, 0)
        flags = unpack_flags(columns["step_triangulated_bits"][steps])
        return joints_in_view(
            columns["step_joints_world_mm"][steps, side],
            flags[np.arange(count), side] & known[:, None],
            R_cam_world=columns["camera_R_cam_world"][camera],
            camera_center_mm=columns["camera_center_mm"][camera],
            focal_px=columns["camera_focal_px"][camera],
            princpt_px=columns["camera_princpt_px"][camera],
        )


def joints_in_view(
    joints_world_mm: np.ndarray,
    triangulated: np.ndarray,
    *,
    R_cam_world: np.ndarray,
    camera_center_mm: np.ndarray,
    focal_px: np.ndarray,
    princpt_px: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transform the joints of one hand to a camera and its image (leading axes ...).

    Args:
        joints_world_mm: (..., 21, 3); ignored where not triangulated.
        triangulated: (..., 21) bool.
        R_cam_world: (..., 3, 3).
        camera_center_mm: (..., 3).
        focal_px: (..., 2).
        princpt_px: (..., 2).

    Returns:
        (..., 21, 2) pixels; (..., 21, 3) joints minus wrist, camera frame, mm; and (..., 21) bool,
        whether joint and wrist are triangulated, and the joint is in front of the camera.
    """
    joints = np.where(triangulated[..., None], joints_world_mm, 0).astype(np.float64)
    rotation, centre = (np.asarray(a, np.float64) for a in (R_cam_world, camera_center_mm))
    joints_cam_mm = (joints - centre[..., None, :]) @ rotation.swapaxes(-1, -2)
    depth = joints_cam_mm[..., 2:]
    in_front = depth > 0
    focal, princpt = (np.asarray(a, np.float64)[..., None, :] for a in (focal_px, princpt_px))
    keypoints_px = joints_cam_mm[..., :2] / np.where(in_front, depth, np.nan) * focal + princpt
    valid = triangulated & triangulated[..., :1] & in_front[..., 0]
    return keypoints_px, joints_cam_mm - joints_cam_mm[..., :1, :], valid
