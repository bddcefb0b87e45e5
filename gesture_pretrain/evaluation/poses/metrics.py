"""Error metrics of hand poses as array functions; `protocol.py` defines how they are combined.

Letters: N samples, P points (21 joints in mano21 order or 778 vertices). Results are in the unit of
the inputs. NaN marks entries that are not counted.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import trapezoid
from scipy.spatial import cKDTree

from gesture_pretrain.skeleton import JOINT_NAMES_MANO21

WRIST, MIDDLE_KNUCKLE = JOINT_NAMES_MANO21.index("wrist"), JOINT_NAMES_MANO21.index("middle1")
PCK_THRESHOLDS_MM = np.linspace(0.0, 50.0, 100)


def distances(predicted: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Compute Euclidean distances (..., P) of points (..., P, 3), float64."""
    difference = np.asarray(predicted, np.float64) - np.asarray(target, np.float64)
    return np.sqrt(np.einsum("...i,...i->...", difference, difference))


def mean_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Average over an axis without the NaN values; NaN where there are no others."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis) / known.sum(axis)


def bone_scale(predicted_joints: ArrayLike, target_joints: ArrayLike) -> np.ndarray:
    """Compute the ratio of |wrist - middle1| of ground truth and prediction, (N,).

    The ratio is infinite for a prediction collapsed to a point, or NaN if the ground truth is
    collapsed as well.

    Args:
        predicted_joints, target_joints: (N, 21, 3), mano21 order.
    """
    lengths = [
        np.linalg.norm(joints[:, MIDDLE_KNUCKLE] - joints[:, WRIST], axis=-1)
        for joints in (np.asarray(j, np.float64) for j in (target_joints, predicted_joints))
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        return lengths[0] / lengths[1]


def root_aligned_errors(
    predicted: ArrayLike,
    target: ArrayLike,
    predicted_root: ArrayLike,
    target_root: ArrayLike,
    scale: ArrayLike | float = 1.0,
) -> np.ndarray:
    """Compute root-aligned distances || s (p - p_root) - (g - g_root) ||, (N, P).

    Args:
        predicted, target: (N, P, 3) points.
        predicted_root, target_root: (N, 3) root joints.
        scale: (N,) factors on the prediction, or a single one.
    """
    factor = np.broadcast_to(np.asarray(scale, np.float64), len(np.asarray(predicted)))
    moved = np.asarray(predicted, np.float64) - np.asarray(predicted_root, np.float64)[:, None]
    goal = np.asarray(target, np.float64) - np.asarray(target_root, np.float64)[:, None]
    return distances(factor[:, None, None] * moved, goal)


# --- PCK and AUC -----------------------------------------------------------------------------


class PckCurve:
    """Fraction of samples within a threshold, per point, accumulated block by block.

    Attributes:
        thresholds: (T,) inclusive thresholds, in the unit of the errors.
        within: (P, T) int64, number of samples within each threshold.
        counted: (P,) int64, number of samples.
    """

    def __init__(self, num_points: int, thresholds: np.ndarray = PCK_THRESHOLDS_MM) -> None:
        self.thresholds = np.asarray(thresholds, np.float64)
        self.within = np.zeros((num_points, len(self.thresholds)), np.int64)
        self.counted = np.zeros(num_points, np.int64)

    def add(self, errors: np.ndarray) -> None:
        """Add errors (N, P), ignoring NaN."""
        num_points, steps = self.within.shape
        point = np.broadcast_to(np.arange(num_points), errors.shape)[~np.isnan(errors)]
        step = np.searchsorted(self.thresholds, errors[~np.isnan(errors)], side="left")
        cells = np.bincount(point * (steps + 1) + step, minlength=num_points * (steps + 1))
        cells = cells.reshape(num_points, steps + 1)
        self.within += np.cumsum(cells[:, :-1], axis=1)
        self.counted += cells.sum(1)

    def shares(self) -> np.ndarray:
        """Compute PCK (P, T); NaN rows for points without a sample."""
        with np.errstate(invalid="ignore"):
            return self.within / self.counted[:, None]

    def auc(self) -> float:
        """Compute the normalised area under the curve (trapezoid rule), averaged over points."""
        span = self.thresholds[-1] - self.thresholds[0]
        areas = trapezoid(self.shares(), self.thresholds, axis=1) / span
        return float(areas.mean())


def auc(errors: ArrayLike) -> float:
    """Compute the area under the PCK curve of errors (N, P) from 0 to 50 mm."""
    errors = np.asarray(errors, np.float64)
    curve = PckCurve(errors.shape[1], PCK_THRESHOLDS_MM)
    curve.add(errors)
    return curve.auc()


# --- F-scores --------------------------------------------------------------------------------


def f_scores(predicted: ArrayLike, target: ArrayLike, thresholds: tuple[float, ...]) -> np.ndarray:
    """Compute the harmonic mean of precision and recall of two point sets (FreiHAND, ICCV 2019).

    A point is matched if the nearest point of the other set is strictly closer than the threshold.

    Args:
        predicted: (N, P, 3) points.
        target: (N, Q, 3) points.
        thresholds: T thresholds.

    Returns:
        F-scores (N, T) in [0, 1]; 0 without any match.
    """
    limits = np.asarray(thresholds, np.float64)
    scores = np.empty((len(np.asarray(predicted)), len(limits)))
    for i, (p, g) in enumerate(zip(np.asarray(predicted), np.asarray(target), strict=True)):
        to_prediction, _ = cKDTree(p).query(g)
        to_target, _ = cKDTree(g).query(p)
        recall = np.mean(to_prediction[:, None] < limits, axis=0)
        precision = np.mean(to_target[:, None] < limits, axis=0)
        total = precision + recall
        scores[i] = np.where(total > 0, 2 * precision * recall / np.where(total > 0, total, 1), 0)
    return scores
