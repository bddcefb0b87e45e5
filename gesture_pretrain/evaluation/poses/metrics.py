"""Errors of hand poses as array functions; what they are called when is `protocol.py`'s business.

Letters: N samples, P points (21 joints in mano21 order or 778 vertices). Nothing here knows a unit:
what comes in as millimetres goes out as millimetres. NaN marks what is not counted.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import trapezoid
from scipy.spatial import cKDTree

from gesture_pretrain.skeleton import JOINT_NAMES_MANO21

WRIST, MIDDLE_KNUCKLE = JOINT_NAMES_MANO21.index("wrist"), JOINT_NAMES_MANO21.index("middle1")
PCK_THRESHOLDS_MM = np.linspace(0.0, 50.0, 100)


def distances(predicted: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Euclidean distances (..., P) of points (..., P, 3), float64."""
    difference = np.asarray(predicted, np.float64) - np.asarray(target, np.float64)
    return np.sqrt(np.einsum("...i,...i->...", difference, difference))


def bone_scale(predicted_joints: ArrayLike, target_joints: ArrayLike) -> np.ndarray:
    """|wrist - middle1| of the truth over that of the prediction, (N,).

    A prediction collapsed to a point gives infinity, or NaN where the truth is one as well.

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
    """|| s (p - p_root) - (g - g_root) ||, (N, P).

    Args:
        predicted, target: (N, P, 3). predicted_root, target_root: (N, 3). scale: (N,) or one.
    """
    factor = np.broadcast_to(np.asarray(scale, np.float64), len(np.asarray(predicted)))
    moved = np.asarray(predicted, np.float64) - np.asarray(predicted_root, np.float64)[:, None]
    goal = np.asarray(target, np.float64) - np.asarray(target_root, np.float64)[:, None]
    return distances(factor[:, None, None] * moved, goal)


def joints_from_pixels_and_depth(
    keypoints_px: ArrayLike,
    depth_rel_mm: ArrayLike,
    wrist_depth_mm: ArrayLike,
    focal_px: ArrayLike,
    princpt_px: ArrayLike,
) -> np.ndarray:
    """Back-projection of 2.5D predictions (InterNet, ECCV 2020): (N, P, 3) mm, camera frame.

    Args:
        keypoints_px: (N, P, 2) pixels of the stored image.
        depth_rel_mm: (N, P) depth minus the wrist's. wrist_depth_mm: (N,).
        focal_px, princpt_px: (N, 2).
    """
    depth = np.asarray(depth_rel_mm, np.float64) + np.asarray(wrist_depth_mm, np.float64)[:, None]
    offset = np.asarray(keypoints_px, np.float64) - np.asarray(princpt_px, np.float64)[:, None]
    xy = offset / np.asarray(focal_px, np.float64)[:, None] * depth[..., None]
    return np.concatenate([xy, depth[..., None]], axis=-1)


def relative_root_errors(
    predicted_right: ArrayLike,
    predicted_left: ArrayLike,
    target_right: ArrayLike,
    target_left: ArrayLike,
) -> np.ndarray:
    """Per-image terms of MRRPE: error of (left wrist - right wrist), (N,); all inputs (N, 3)."""
    predicted = np.asarray(predicted_left, np.float64) - np.asarray(predicted_right, np.float64)
    target = np.asarray(target_left, np.float64) - np.asarray(target_right, np.float64)
    return distances(predicted, target)


def handedness_correct(
    probability_right_left: ArrayLike, present_right_left: ArrayLike
) -> np.ndarray:
    """Whether both hands are on the right side of 0.5, (N,) bool; inputs (N, 2)."""
    predicted = np.asarray(probability_right_left, np.float64) > 0.5
    return (predicted == np.asarray(present_right_left, bool)).all(-1)


# --- PCK and AUC -----------------------------------------------------------------------------


class PckCurve:
    """Fraction of samples within a threshold, per point, gathered block by block.

    Attributes:
        thresholds: (T,), in the unit of the errors; inclusive.
        within: (P, T) int64 counts. counted: (P,) int64.
    """

    def __init__(self, num_points: int, thresholds: np.ndarray = PCK_THRESHOLDS_MM) -> None:
        self.thresholds = np.asarray(thresholds, np.float64)
        self.within = np.zeros((num_points, len(self.thresholds)), np.int64)
        self.counted = np.zeros(num_points, np.int64)

    def add(self, errors: np.ndarray) -> None:
        """Counts errors (N, P); NaN is not counted."""
        num_points, steps = self.within.shape
        point = np.broadcast_to(np.arange(num_points), errors.shape)[~np.isnan(errors)]
        step = np.searchsorted(self.thresholds, errors[~np.isnan(errors)], side="left")
        cells = np.bincount(point * (steps + 1) + step, minlength=num_points * (steps + 1))
        cells = cells.reshape(num_points, steps + 1)
        self.within += np.cumsum(cells[:, :-1], axis=1)
        self.counted += cells.sum(1)

    def shares(self) -> np.ndarray:
        """PCK (P, T); NaN rows for points without a sample."""
        with np.errstate(invalid="ignore"):
            return self.within / self.counted[:, None]

    def auc(self) -> float:
        """Area by the trapezoid rule over the range, per point, then mean over points."""
        span = self.thresholds[-1] - self.thresholds[0]
        areas = trapezoid(self.shares(), self.thresholds, axis=1) / span
        return float(areas.mean())


def auc(errors: ArrayLike, thresholds: ArrayLike = PCK_THRESHOLDS_MM) -> float:
    """Area under the PCK curve of errors (N, P), FreiHAND's 100 thresholds from 0 to 50 mm."""
    errors = np.asarray(errors, np.float64)
    curve = PckCurve(errors.shape[1], np.asarray(thresholds))
    curve.add(errors)
    return curve.auc()


# --- F-scores --------------------------------------------------------------------------------


def f_scores(predicted: ArrayLike, target: ArrayLike, thresholds: tuple[float, ...]) -> np.ndarray:
    """Harmonic mean of precision and recall of two point sets (FreiHAND, ICCV 2019).

    A point is found if the nearest point of the other set is closer (strictly) than a threshold.

    Args:
        predicted: (N, P, 3). target: (N, Q, 3). thresholds: T of them.

    Returns:
        (N, T) in [0, 1]; 0 where nothing is close.
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
