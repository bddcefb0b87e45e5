"""Linear probes of frozen features: logistic regression to gestures, ridge regression to joints.

Letters: N training samples, M queries, C channels, J = 21 joints.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from gesture_pretrain.evaluation.features.joint_error import mpjpe_mm

RIDGE_LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
LOGISTIC_LAMBDAS = (1.0, 1e-1, 1e-2, 1e-3)  # strongest first: the path is warm-started


@dataclass(frozen=True)
class ProbeFit:
    """A probe's predictions for the queries and how its penalty was chosen.

    Attributes:
        predictions: (M,) classes or (M, J, 3) joints in mm.
        penalty: The chosen lambda.
        penalties: The lambdas that were tried.
        scores: Score of each on the held-out part: accuracy, or MPJPE in mm.
        held_out_by: "subject", or "group" if the training data show a single subject.
        num_train: Number of samples of the final fit.
        at_the_edge: Whether the chosen lambda is the first or last of the given list, so that a
            better one may lie beyond.
    """

    predictions: np.ndarray
    penalty: float
    penalties: tuple[float, ...]
    scores: tuple[float, ...]
    held_out_by: str
    num_train: int
    at_the_edge: bool


def probe_gesture(
    features: np.ndarray,
    labels: np.ndarray,
    queries: np.ndarray,
    *,
    subjects: np.ndarray,
    groups: np.ndarray,
    penalties: Sequence[float] = LOGISTIC_LAMBDAS,
    max_iterations: int = 200,
) -> ProbeFit:
    """Fit a logistic regression from standardised frozen features to gestures.

    It minimises mean cross-entropy + lambda / 2 * |W|^2. Penalties are tried from the strongest on
    until the accuracy on held-out training subjects drops. The best one is refitted on all
    subjects.

    Args:
        features: (N, C) training features.
        labels: (N,) classes; none may be -1.
        queries: (M, C) features to classify.
        subjects: (N,) ids that decide what is held out.
        groups: (N,) moments that decide what is held out if there is one subject.
        penalties: Lambdas to try, strongest first.
        max_iterations: Limit of L-BFGS for each lambda.
    """
    if labels.min() < 0:
        raise ValueError("A training sample has no label (-1). Leave unlabelled samples out first.")
    held_out, held_out_by = hold_out(subjects, groups)

    def path(train, lambdas, test):
        x, z = _standardise(features[train], test)
        return _logistic_path(x, labels[train], z, lambdas, max_iterations)

    scores: list[float] = []
    for predicted in path(~held_out, penalties, features[held_out]):
        scores.append(float((predicted == labels[held_out]).mean()))
        if scores[-1] < max(scores):
            break
    best = int(np.argmax(scores))
    everything = np.ones(len(labels), dtype=bool)
    # the path up to the chosen penalty, so that the refit starts where the trial did
    *_, predictions = path(everything, penalties[: best + 1], queries)
    return _fit(predictions, best, penalties, scores, held_out_by, len(labels))


def probe_joints(
    features: np.ndarray,
    joints_rel_mm: np.ndarray,
    joint_valid: np.ndarray,
    queries: np.ndarray,
    *,
    subjects: np.ndarray,
    groups: np.ndarray,
    penalties: Sequence[float] = RIDGE_LAMBDAS,
) -> ProbeFit:
    """Fit a ridge regression from standardised frozen features to wrist-relative joints.

    It minimises the mean squared error + lambda * |W|^2 in float64, on the samples with all joints
    valid. One map predicts left and right hands, in the camera frame.

    Args:
        features: (N, C) training features.
        joints_rel_mm: (N, J, 3), camera frame, relative to the wrist.
        joint_valid: (N, J).
        queries: (M, C) features to predict from.
        subjects: (N,) ids that decide what is held out.
        groups: (N,) moments that decide what is held out if there is one subject.
        penalties: Lambdas to try.

    Returns:
        ProbeFit with predictions (M, J, 3) in mm.

    Raises:
        ValueError: Fewer than two training samples have all joints.
    """
    whole = complete_hands(joint_valid)
    features, joints = features[whole], joints_rel_mm[whole].astype(np.float64)
    held_out, held_out_by = hold_out(subjects[whole], groups[whole])

    def predict(train, penalty, test):
        x, z = _standardise(features[train], test)
        # scikit-learn sums the squared errors over the samples
        ridge = Ridge(alpha=penalty * len(x)).fit(x, joints[train].reshape(len(x), -1))
        return ridge.predict(z).reshape(-1, *joints.shape[1:])

    valid = np.ones(joints.shape[:2], dtype=bool)
    scores = [
        mpjpe_mm(predict(~held_out, p, features[held_out]), joints[held_out], valid[held_out])
        for p in penalties
    ]
    best = int(np.argmin(scores))
    predictions = predict(valid.all(1), penalties[best], queries)
    return _fit(predictions, best, penalties, scores, held_out_by, len(joints))


def mean_pose(joints_rel_mm: np.ndarray, joint_valid: np.ndarray) -> np.ndarray:
    """Return the mean wrist-relative pose (J, 3) of the training set, mm, as a baseline."""
    return joints_rel_mm[complete_hands(joint_valid)].mean(0, dtype=np.float64)


def complete_hands(joint_valid: np.ndarray) -> np.ndarray:
    """Select the samples that have all joints, as (N,) bool; at least two must have them."""
    whole = np.asarray(joint_valid).all(1)
    if whole.sum() < 2:
        raise ValueError(
            f"{int(whole.sum())} of {len(whole)} training samples have all joints, but a probe to "
            "joints requires at least 2. Data without 3D joints has the gesture probes only."
        )
    return whole


def hold_out(subjects: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, str]:
    """Split training data for the choice of a penalty.

    Holds out every fifth subject (at least one) in the order of their ids. If there is only one
    subject, it holds out every fifth group in the order of their names.

    Returns:
        (N,) bool, whether a sample is held out; and "subject" or "group".

    Raises:
        ValueError: There is a single group, so nothing can be held out.
    """
    for units, name in ((np.asarray(subjects), "subject"), (np.asarray(groups), "group")):
        distinct, positions = np.unique(units, return_inverse=True)
        if len(distinct) > 1:
            stride = min(5, len(distinct))
            return (positions % stride) == stride - 1, name
    raise ValueError("The training data are one group of one subject; nothing can be held out.")


def _fit(
    predictions: np.ndarray,
    best: int,
    penalties: Sequence[float],
    scores: Sequence[float],
    held_out_by: str,
    num_train: int,
) -> ProbeFit:
    """Record a fit of which the first `len(scores)` penalties were tried."""
    return ProbeFit(
        predictions=predictions,
        penalty=penalties[best],
        penalties=tuple(penalties[: len(scores)]),
        scores=tuple(scores),
        held_out_by=held_out_by,
        num_train=num_train,
        at_the_edge=best in (0, len(penalties) - 1),
    )


def _standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale to zero mean and unit deviation of the training part; a constant channel becomes 0.

    A channel whose deviation is float32 rounding counts as constant.
    """
    train, test = train.astype(np.float64), test.astype(np.float64)
    mean, deviation = train.mean(0), train.std(0)
    constant = deviation <= 1e-6 * np.abs(mean)
    scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
    return (train - mean) * scale, (test - mean) * scale


def _logistic_path(x, labels, z, penalties, max_iterations) -> Iterator[np.ndarray]:
    """Yield the predicted classes of z for each penalty; each fit starts at the previous one."""
    x, z = x.astype(np.float32), z.astype(np.float32)
    if len(np.unique(labels)) == 1:  # scikit-learn refuses a single class
        yield from (np.full(len(z), labels[0]) for _ in penalties)
        return
    model = LogisticRegression(warm_start=True, max_iter=max_iterations)
    for penalty in penalties:
        # scikit-learn sums the cross-entropy over the samples
        model.set_params(C=1 / (penalty * len(x)))
        yield model.fit(x, labels).predict(z)
