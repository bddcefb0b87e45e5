"""Annotations of one image of an index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPLITS = ("train", "val", "test")
HANDS = ("right", "left", "interacting", "unknown")


def unpack_flags(bits: np.ndarray) -> np.ndarray:
    """Unpack (..., 6) uint8 to (..., 2, 21) bool: flags of the joints of both hands."""
    flags = np.unpackbits(bits, axis=-1, count=42, bitorder="little")
    return flags.view(bool).reshape(*bits.shape[:-1], 2, 21)


@dataclass(frozen=True, slots=True)
class ManoFit:
    """MANO parameters of one hand, world frame.

    Attributes:
        pose: (48,) axis-angle, radians, minus MANO's mean pose.
        shape: (10,) shape coefficients.
        trans_m: (3,) translation.
    """

    pose: np.ndarray
    shape: np.ndarray
    trans_m: np.ndarray


@dataclass(frozen=True, slots=True)
class HandRecord:
    """Annotations of one image. Missing values are None, "" or -1.

    Attributes:
        joints_world_mm: (2, 21, 3) float32; NaN where a joint was not triangulated.
        joint_triangulated: (2, 21) bool; the joint's 3D position is known.
        joint_in_view: (2, 21) bool; the joint is annotated and inside this image.
        bbox_xywh_px: (4,) float32, the annotation's box (1.2 times the tight one).
        R_cam_world, camera_center_mm: x_cam = R (x_world - centre).
        hand: What is annotated in this view; "interacting" is both.
        mano: "right" and "left" to the fit of that hand; None without a fit.
        grey_camera: A monochrome camera (three equal channels).
    """

    row: int
    image_path: Path
    split: str
    capture: int
    subject: int
    label: str
    camera: str
    frame: int
    image_size_wh: tuple[int, int]
    hand: str
    hand_type_valid: bool
    bbox_xywh_px: np.ndarray | None
    joints_world_mm: np.ndarray | None
    joint_triangulated: np.ndarray
    joint_in_view: np.ndarray
    R_cam_world: np.ndarray | None
    camera_center_mm: np.ndarray | None
    focal_px: np.ndarray | None
    princpt_px: np.ndarray | None
    mano: Mapping[str, ManoFit | None]
    image_id: int
    grey_camera: bool
