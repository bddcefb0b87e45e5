"""The camera of a user's images: given, or assumed; and the distance of hands from it."""

from typing import NamedTuple

import numpy as np

FIELD_OF_VIEW_DEG = 60.0  # along the longer side, as of a phone's main camera


class Intrinsics(NamedTuple):
    """A pinhole camera without distortion.

    Attributes:
        focal_px: Focal length.
        centre_px: Principal point: the centre of the image.
        assumed: Whether the focal length was derived from an assumed field of view.
    """

    focal_px: float
    centre_px: tuple[float, float]
    assumed: bool


def intrinsics_of(size_wh: tuple[int, int], focal_px: float | None = None) -> Intrinsics:
    """Return the camera of an image of `size_wh` pixels.

    Args:
        size_wh: Width and height of the image.
        focal_px: Focal length; None for a field of view of 60 degrees along the longer side.
    """
    width, height = size_wh
    centre = ((width - 1) / 2, (height - 1) / 2)
    if focal_px is not None:
        return Intrinsics(float(focal_px), centre, assumed=False)
    half_view = np.radians(FIELD_OF_VIEW_DEG / 2)
    return Intrinsics(float(max(size_wh) / 2 / np.tan(half_view)), centre, assumed=True)


def wrist_in_camera(
    joints_rel_mm: np.ndarray, keypoints_px: np.ndarray, camera: Intrinsics
) -> np.ndarray | None:
    """Place a hand before the camera, by linear least squares over its joints.

    Args:
        joints_rel_mm: `(21, 3)` joints minus the wrist, camera axes.
        keypoints_px: `(21, 2)`.
        camera: Camera of the image.

    Returns:
        `(3,)` wrist in mm, camera frame; None if the fit is behind the camera.
    """
    rays = (np.float64(keypoints_px) - camera.centre_px) / camera.focal_px  # (21, 2): x/z, y/z
    joints = np.float64(joints_rel_mm)
    rows = np.zeros((len(joints), 2, 3))
    rows[:, 0, 0] = rows[:, 1, 1] = 1.0
    rows[:, :, 2] = -rays
    goal = rays * joints[:, 2:] - joints[:, :2]
    wrist = np.linalg.lstsq(rows.reshape(-1, 3), goal.reshape(-1), rcond=None)[0]
    return wrist if wrist[2] > 0 else None
