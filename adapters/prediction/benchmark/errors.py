"""Errors of predicted hands, and their summaries."""

from collections.abc import Sequence

import numpy as np

from gesture_pretrain.geometry.similarity import procrustes_align


def joint_errors_mm(predicted_mm: np.ndarray, true_mm: np.ndarray) -> dict[str, float]:
    """Compute mean joint errors of one hand.

    Args:
        predicted_mm: `(21, 3)`, any origin.
        true_mm: `(21, 3)`, any origin; NaN for unknown joints.

    Returns:
        "wrist": both wrists moved to the origin. "centred": both means. "pa": also rotated and
        scaled (Procrustes).
    """
    known = np.isfinite(true_mm).all(-1)
    predicted, true = np.float64(predicted_mm)[known], np.float64(true_mm)[known]
    moved = {
        "wrist": (predicted - predicted_mm[0], true - true_mm[0]),
        "centred": (predicted - predicted.mean(0), true - true.mean(0)),
        "pa": (procrustes_align(predicted, true), true),
    }
    return {name: float(np.linalg.norm(a - b, axis=-1).mean()) for name, (a, b) in moved.items()}


def keypoint_error(predicted_px: np.ndarray, true_px: np.ndarray, box_xywh_px) -> float:
    """Compute the mean distance of the annotated keypoints over the longer side of the box."""
    distances = np.linalg.norm(np.float64(predicted_px) - true_px, axis=-1)
    return float(np.nanmean(distances) / max(box_xywh_px[2:]))


def summary(values: Sequence[float]) -> dict[str, float | int | None]:
    """Return number, mean, median and 90th percentile; None for these without values."""
    if not len(values):
        return {"count": 0, "mean": None, "median": None, "percentile_90": None}
    return {
        "count": len(values),
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "percentile_90": float(np.percentile(values, 90)),
    }
