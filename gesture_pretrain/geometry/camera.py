"""Transforms from the world frame to a camera and to pixels."""

import numpy as np
from numpy.typing import ArrayLike

from gesture_pretrain.geometry.axis_angle import rodrigues, rotation_vector


def world_to_camera_mm(
    joints_world_mm: ArrayLike, R_cam_world: ArrayLike, camera_center_mm: ArrayLike
) -> np.ndarray:
    """Transform points from the world to a camera frame: ``x_cam = R (x_world - c)``.

    Args:
        joints_world_mm: (..., 3) points, world frame, mm.
        R_cam_world: (3, 3) rotation from world to camera.
        camera_center_mm: (3,) camera centre, world frame, mm.

    Returns:
        (..., 3) points, camera frame, mm.
    """
    points = np.asarray(joints_world_mm, np.float64)
    rotation = np.asarray(R_cam_world, np.float64)
    return (points - np.asarray(camera_center_mm, np.float64)) @ rotation.T


def translation_of_camera_mm(R_cam_world: ArrayLike, camera_center_mm: ArrayLike) -> np.ndarray:
    """Compute ``t = -R c`` of ``x_cam = R x_world + t``: (3,), mm."""
    rotation = np.asarray(R_cam_world, np.float64)
    return -rotation @ np.asarray(camera_center_mm, np.float64)


def project_px(joints_cam_mm: ArrayLike, focal_px: ArrayLike, princpt_px: ArrayLike) -> np.ndarray:
    """Project points by a pinhole camera without distortion or skew: ``u = fx x/z + cx``.

    Args:
        joints_cam_mm: (..., 3) points, camera frame, any length unit.
        focal_px: (2,) focal lengths fx, fy.
        princpt_px: (2,) principal point.

    Returns:
        (..., 2) pixels; NaN for points that are not in front of the camera (z <= 0).
    """
    points = np.asarray(joints_cam_mm, np.float64)
    depth = np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
    focal, centre = np.asarray(focal_px, np.float64), np.asarray(princpt_px, np.float64)
    return points[..., :2] / depth * focal + centre


def mano_root_to_camera(
    root_rad: ArrayLike,
    trans_m: ArrayLike,
    rest_wrist_m: ArrayLike,
    R_cam_world: ArrayLike,
    t_m: ArrayLike,
) -> tuple[np.ndarray, np.ndarray]:
    """Transform MANO's root rotation and translation from the world to a camera frame.

    MANO rotates about its rest wrist J0, not about the origin, so the translation becomes
    ``R (J0 + trans) + t - J0``. The resulting mesh equals the transformed mesh up to rounding.

    Args:
        root_rad: (..., 3) axis-angle of the root, the first three pose entries.
        trans_m: (..., 3) MANO translation, m.
        rest_wrist_m: (..., 3) J0, the wrist of the unposed hand *with this shape*, m.
        R_cam_world: (3, 3) or (..., 3, 3) rotation R of ``x_cam = R x_world + t``.
        t_m: (..., 3) translation t, m (calibration files use mm).

    Returns:
        Root rotation (..., 3), rad, and translation (..., 3), m, in the camera frame.
    """
    rotation = np.asarray(R_cam_world, np.float64)
    wrist = np.asarray(rest_wrist_m, np.float64)
    moved = np.einsum("...ij,...j->...i", rotation, wrist + np.asarray(trans_m, np.float64))
    root = rotation_vector(rotation @ rodrigues(root_rad))
    return root, moved + np.asarray(t_m, np.float64) - wrist
