"""Errors after the best similarity alignment. Letters: N samples, J points."""

import numpy as np
from numpy.typing import ArrayLike

from gesture_pretrain.geometry.similarity import procrustes_align

_BLOCK = 4096  # samples at a time, to bound memory


def procrustes_errors(
    predicted: ArrayLike, target: ArrayLike, valid: ArrayLike | None = None
) -> np.ndarray:
    """Compute the distance of each point to its target after `procrustes_align`.

    Args:
        predicted: (N, J, 3) points.
        target: (N, J, 3) points in the same unit.
        valid: (N, J) bool mask of the points that determine the alignment. Default: all. Invalid
            points may be NaN.

    Returns:
        Distances (N, J), float64, in that unit; NaN for invalid points.

    Raises:
        ValueError: The shapes differ, or a sample has fewer than three valid target points, only
            collinear ones, or NaN in a valid one.
    """
    predicted, target = np.asarray(predicted), np.asarray(target, np.float64)
    if predicted.shape != target.shape or predicted.ndim != 3 or predicted.shape[-1] != 3:
        raise ValueError(f"need two equal shapes (N, J, 3), got {predicted.shape}, {target.shape}")
    mask = np.ones(target.shape[:2], bool) if valid is None else np.asarray(valid, bool)
    errors = np.empty(mask.shape)
    for start in range(0, len(predicted), _BLOCK):
        part = slice(start, start + _BLOCK)
        with np.errstate(invalid="ignore"):  # invalid points may be NaN or infinite
            moved = procrustes_align(predicted[part], target[part], mask[part])
            errors[part] = np.linalg.norm(moved - target[part], axis=-1)
    return np.where(mask, errors, np.nan)
