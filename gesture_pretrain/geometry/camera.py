"""Transforms from the world frame to a camera and to pixels."""

import numpy as np
from numpy.typing import ArrayLike


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


def viewing_rotation(point_px: ArrayLike, focal_px: ArrayLike, princpt_px: ArrayLike) -> np.ndarray:
    """Compute the rotation R of a camera that looks at a pixel: ``x_cam = R x_view``.

    The z axis of the view is the viewing ray of the pixel. It is reached by the shortest rotation
    from the camera's z axis, so the view does not roll.

    Args:
        point_px: (2,) pixel.
        focal_px: (2,) focal lengths fx, fy.
        princpt_px: (2,) principal point.

    Returns:
        (3, 3).
    """
    slopes = (np.float64(point_px) - np.float64(princpt_px)) / np.float64(focal_px)
    x, y, z = np.append(slopes, 1.0) / np.sqrt(1 + slopes @ slopes)
    share = 1 / (1 + z)
    return np.array(
        [
            [1 - x * x * share, -x * y * share, x],
            [-x * y * share, 1 - y * y * share, y],
            [-x, -y, z],
        ]
    )


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
