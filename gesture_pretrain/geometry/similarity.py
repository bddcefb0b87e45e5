"""Similarity alignment of point sets (Procrustes)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Similarity(NamedTuple):
    """``aligned = scale * points @ rotation.T + translation`` (leading axes are batch axes)."""

    scale: np.ndarray  # (...)
    rotation: np.ndarray  # (..., 3, 3), determinant +1
    translation: np.ndarray  # (..., 3)

    def apply(self, points: ArrayLike) -> np.ndarray:
        """Transform points (..., N, 3)."""
        rotated = np.asarray(points, np.float64) @ np.swapaxes(self.rotation, -1, -2)
        return self.scale[..., None, None] * rotated + self.translation[..., None, :]


def procrustes_align(
    predicted: ArrayLike, target: ArrayLike, valid: ArrayLike | None = None
) -> np.ndarray:
    """Align a prediction to its target by the best scale, rotation and translation.

    Least squares over the valid points, without reflections (Umeyama, TPAMI 1991), so a mirrored
    hand keeps its error. A prediction collapsed to a point or a line is aligned as far as possible.

    Args:
        predicted: (..., N, 3) points.
        target: (..., N, 3) points in the same unit.
        valid: (..., N) bool mask of the points that determine the alignment. Default: all. All
            points are transformed; invalid ones may be NaN.

    Returns:
        The aligned prediction (..., N, 3).

    Raises:
        ValueError: A sample has fewer than three valid target points, or only collinear ones.
    """
    return procrustes_similarity(predicted, target, valid).apply(predicted)


def procrustes_similarity(
    predicted: ArrayLike, target: ArrayLike, valid: ArrayLike | None = None
) -> Similarity:
    """Compute the transform that ``procrustes_align`` applies; same arguments and errors."""
    source, goal = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    if source.shape != goal.shape or source.shape[-1] != 3:
        raise ValueError(f"need two equal shapes (..., N, 3), got {source.shape} and {goal.shape}")
    mask = np.ones(goal.shape[:-1], bool) if valid is None else np.asarray(valid, bool)
    source_mean, source_centred = _centre(source, mask)
    goal_mean, goal_centred = _centre(goal, mask)
    _require_spread(goal_centred, mask)

    u, singular, vt = np.linalg.svd(np.swapaxes(source_centred, -1, -2) @ goal_centred)
    sign = np.ones_like(singular)
    sign[..., 2] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotation = np.swapaxes(u @ (sign[..., None] * vt), -1, -2)
    spread = np.sum(source_centred**2, axis=(-2, -1))
    covariance = np.sum(singular * sign, axis=-1)
    scale = np.where(spread > 0, covariance / np.where(spread > 0, spread, 1.0), 0.0)
    moved_mean = scale[..., None] * np.einsum("...ij,...j->...i", rotation, source_mean)
    return Similarity(scale, rotation, goal_mean - moved_mean)


def _centre(points: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept = np.where(mask[..., None], points, 0.0)
    mean = kept.sum(axis=-2) / np.maximum(mask.sum(axis=-1), 1)[..., None]
    return mean, np.where(mask[..., None], points - mean[..., None, :], 0.0)


def _require_spread(goal_centred: np.ndarray, mask: np.ndarray) -> None:
    if not np.all(np.isfinite(goal_centred)):
        raise ValueError("valid target points contain NaN or infinity; mask them out")
    singular = np.linalg.svd(goal_centred, compute_uv=False)
    enough = (mask.sum(axis=-1) >= 3) & (singular[..., 1] > 1e-9 * singular[..., 0])
    if not np.all(enough):
        raise ValueError(
            "Procrustes alignment needs three valid points that are not collinear. "
            f"{int(np.sum(~enough))} of {enough.size} samples lack them; exclude those samples."
        )
