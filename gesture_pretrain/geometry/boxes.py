"""Axis-aligned boxes (4,): x, y of the upper left corner, width, height, in pixels."""

import numpy as np
from numpy.typing import ArrayLike


def tight_box(points_px: ArrayLike, valid: ArrayLike | None = None, ratio: float = 1.0):
    """Compute the smallest axis-aligned box around points, scaled by ``ratio`` about its centre.

    Args:
        points_px: (N, 2) pixels.
        valid: (N,) bool mask of the points to include. Default: all.
        ratio: Scale factor of width and height.

    Returns:
        (4,) box: x, y of the upper left corner, width, height, in pixels.

    Raises:
        ValueError: No point is valid.
    """
    points = np.asarray(points_px, np.float64)
    if valid is not None:
        points = points[np.asarray(valid, bool)]
    if len(points) == 0:
        raise ValueError("a box needs at least one valid point; test the mask first")
    low, high = points.min(axis=0), points.max(axis=0)
    return _box_about((low + high) / 2, (high - low) * ratio)


def square_box(bbox_xywh_px: ArrayLike, ratio: float = 1.0) -> np.ndarray:
    """Compute the square of side ``ratio * max(width, height)`` about a box's centre, (4,) xywh."""
    box = np.asarray(bbox_xywh_px, np.float64)
    side = ratio * max(box[2], box[3])
    return _box_about(box[:2] + box[2:] / 2, np.array([side, side]))


def union_box(first_xywh_px: ArrayLike, second_xywh_px: ArrayLike) -> np.ndarray:
    """Compute the smallest box around two boxes: (4,) xywh, pixels."""
    first, second = np.asarray(first_xywh_px, np.float64), np.asarray(second_xywh_px, np.float64)
    low = np.minimum(first[:2], second[:2])
    high = np.maximum(first[:2] + first[2:], second[:2] + second[2:])
    return np.concatenate([low, high - low])


def clip_box_eanet(bbox_xywh_px: ArrayLike, image_size_wh: tuple[int, int]) -> np.ndarray:
    """Clip a box to the image by the rule of the EANet family, whose evaluation depends on it.

    The rule counts pixels inclusively: a box inside the image loses one pixel of width and height,
    and a box that starts left of the image is shifted rather than cut.

    Returns:
        (4,) xywh, pixels.

    Raises:
        ValueError: The clipped box is empty.
    """
    x, y, width, height = np.asarray(bbox_xywh_px, np.float64)
    low = np.array([max(0.0, x), max(0.0, y)])
    size = np.array([max(0.0, width - 1), max(0.0, height - 1)])
    extent = np.minimum(np.asarray(image_size_wh, np.float64) - 1, low + size) - low
    if width * height <= 0 or np.any(extent <= 0):
        raise ValueError(
            f"box {x:.1f}, {y:.1f}, {width:.1f} x {height:.1f} px has no area inside the "
            f"{image_size_wh[0]} x {image_size_wh[1]} px image; skip this sample"
        )
    return np.concatenate([low, extent])


def _box_about(centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.concatenate([centre - size / 2, size])
