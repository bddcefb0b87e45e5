"""Linear probes of frozen features: logistic regression to gestures, ridge regression to joints.

Letters: N train samples, M queries, C channels, K classes, J = 21 joints.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve

from gesture_pretrain.evaluation.features.joint_error import mpjpe_mm

RIDGE_LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
LOGISTIC_LAMBDAS = (1.0, 1e-1, 1e-2, 1e-3)  # strongest first: the path is warm-started


@dataclass(frozen=True)
class ProbeFit:
    """A probe's predictions for the queries and the penalty that was chosen for it.

    Attributes:
        predictions: (M,) classes or (M, J, 3) joints in mm.
        penalty: The chosen lambda. penalties: those tried. scores: of each on the held-out part
            (accuracy for gestures, MPJPE in mm for joints).
        at_the_edge: The chosen lambda is the first or last of the list that was given; the best
            one may lie beyond.
        held_out_by: "subject", or "group" where the train data show a single subject.
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
    num_classes: int,
    subjects: np.ndarray,
    groups: np.ndarray,
    penalties: Sequence[float] = LOGISTIC_LAMBDAS,
    max_iterations: int = 40,
) -> ProbeFit:
    """Fit multinomial logistic regression on standardised frozen features.

    Minimises mean cross-entropy + lambda / 2 * |W|^2 by L-BFGS from zero. Penalties are tried from
    the strongest on until the held-out train subjects are classified worse than by the one
    before; the best one is refitted on all subjects.

    Args:
        features: (N, C). labels: (N,) in [0, K). queries: (M, C).
        subjects, groups: (N,), decide what is held out.
    """
    if labels.min() < 0:
        raise ValueError("A train sample has no label (-1). Leave unlabelled samples out first.")
    held_out, held_out_by = hold_out(subjects, groups)

    def path(train, lambdas, test):
        x, z = _standardise(features[train], test)
        return _logistic_path(x, labels[train], z, num_classes, lambdas, max_iterations)

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
    """Fit ridge regression from standardised frozen features to wrist-relative joints.

    Closed form in float64: W = (X'X / N + lambda I)^-1 X'Y / N with X and Y centred. Fitted on the
    samples with all 21 joints valid. Left and right hands are predicted by one map, in the camera
    frame as they are.

    Args:
        features: (N, C). queries: (M, C).
        joints_rel_mm: (N, J, 3), camera frame, relative to the wrist. joint_valid: (N, J).

    Returns:
        ProbeFit with predictions (M, J, 3) in mm.

    Raises:
        ValueError: Fewer than two train samples have all joints.
    """
    whole = complete_hands(joint_valid)
    features, joints = features[whole], joints_rel_mm[whole].astype(np.float64)
    held_out, held_out_by = hold_out(subjects[whole], groups[whole])
    shape = joints.shape[1:]

    def path(train, lambdas, test):
        x, z = _standardise(features[train], test)
        flat = _ridge_path(x, joints[train].reshape(train.sum(), -1), z, lambdas)
        return [prediction.reshape(-1, *shape) for prediction in flat]

    tried = path(~held_out, penalties, features[held_out])
    valid = np.ones(joints.shape[:2], dtype=bool)[held_out]
    scores = [mpjpe_mm(p, joints[held_out], valid) for p in tried]
    best = int(np.argmin(scores))
    predictions = path(np.ones(len(joints), dtype=bool), [penalties[best]], queries)[0]
    return _fit(predictions, best, penalties, scores, held_out_by, len(joints))


def mean_pose(joints_rel_mm: np.ndarray, joint_valid: np.ndarray) -> np.ndarray:
    """Compute the mean wrist-relative training pose (J, 3), mm, the baseline of all features."""
    return joints_rel_mm[complete_hands(joint_valid)].mean(0, dtype=np.float64)


def complete_hands(joint_valid: np.ndarray) -> np.ndarray:
    """Return (N,) bool, whether a sample has all joints; at least two samples must."""
    whole = np.asarray(joint_valid).all(1)
    if whole.sum() < 2:
        raise ValueError(
            f"{int(whole.sum())} of {len(whole)} train samples have all joints, a probe to joints "
            "needs at least 2. Data without 3D joints has the gesture probes only."
        )
    return whole


def hold_out(
    subjects: np.ndarray, groups: np.ndarray, *, share: float = 0.2
) -> tuple[np.ndarray, str]:
    """Split training data for the choice of a penalty.

    Every fifth subject (at least one) in order of id, or, where there is one subject only, every
    fifth group of the sorted names.

    Returns:
        (N,) bool, true = held out; and "subject" or "group".

    Raises:
        ValueError: There is a single group, so nothing can be held out.
    """
    for units, name in ((np.asarray(subjects), "subject"), (np.asarray(groups), "group")):
        distinct, positions = np.unique(units, return_inverse=True)
        if len(distinct) > 1:
            stride = min(round(1 / share), len(distinct))
            return (positions % stride) == stride - 1, name
    raise ValueError("The train data is one group of one subject; nothing can be held out.")


def _fit(
    predictions: np.ndarray,
    best: int,
    penalties: Sequence[float],
    scores: Sequence[float],
    held_out_by: str,
    num_train: int,
) -> ProbeFit:
    """The record of a fit; the first `len(scores)` penalties were tried."""
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
    """Zero mean and unit deviation by the train part's statistics; a constant channel becomes 0.

    "Constant" is relative to the channel's size: a deviation of pure float32 rounding is none.
    """
    train, test = train.astype(np.float64), test.astype(np.float64)
    mean, deviation = train.mean(0), train.std(0)
    constant = deviation <= 1e-6 * np.abs(mean)
    scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
    return (train - mean) * scale, (test - mean) * scale


def _logistic_path(x, labels, z, num_classes, penalties, max_iterations) -> Iterator[np.ndarray]:
    """Predicted classes of z for each penalty in turn, each fit started at the one before."""
    x, z = (torch.from_numpy(a.astype(np.float32)) for a in (x, z))
    y = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    weight = torch.zeros(x.shape[1], num_classes, requires_grad=True)
    bias = torch.zeros(num_classes, requires_grad=True)
    for penalty in penalties:
        solver = torch.optim.LBFGS(
            [weight, bias],
            max_iter=max_iterations,
            history_size=10,
            tolerance_grad=1e-5,
            line_search_fn="strong_wolfe",
        )

        def closure(solver=solver, penalty=penalty):
            solver.zero_grad()
            loss = torch.nn.functional.cross_entropy(torch.addmm(bias, x, weight), y)
            loss = loss + 0.5 * penalty * weight.square().sum()
            loss.backward()
            return loss

        solver.step(closure)
        with torch.no_grad():
            predicted = torch.addmm(bias, z, weight).argmax(1).numpy()
        yield predicted


def _ridge_path(x, y, z, penalties) -> list[np.ndarray]:
    """Ridge predictions of z for each penalty; x is standardised, y is centred here."""
    offset = y.mean(0)
    gram = x.T @ x / len(x)
    moment = x.T @ (y - offset) / len(x)
    predictions = []
    for penalty in penalties:
        damped = gram + penalty * np.eye(len(gram))
        predictions.append(z @ cho_solve(cho_factor(damped), moment) + offset)
    return predictions
