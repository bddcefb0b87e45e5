"""What frozen features are worth: k-NN and linear probes to gesture and to 3D joints.

A probe to the very labels a network was trained with is circular; the probes to root-relative
joints are not, since no joint was seen in pretraining. Functions take arrays and return
predictions; `classification.py` and `mpjpe_mm` score them. All of it is deterministic.

Letters: N gallery (train) samples, M query samples, C channels, K classes, J = 21 joints.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve

WRIST = 0
RIDGE_LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
LOGISTIC_LAMBDAS = (1.0, 1e-1, 1e-2, 1e-3)  # strongest first: the path is warm-started


@dataclass(frozen=True)
class Neighbours:
    """The k nearest gallery samples of each query: positions (M, k) and cosines (M, k)."""

    positions: np.ndarray
    cosines: np.ndarray


def nearest_neighbours(
    gallery: np.ndarray,
    queries: np.ndarray,
    *,
    k: int,
    gallery_groups: np.ndarray | None = None,
    query_groups: np.ndarray | None = None,
    block: int = 1024,
) -> Neighbours:
    """Nearest neighbours by cosine, of features centred on the gallery's mean.

    Pooled ReLU features are all positive and share one large direction; without centring every
    cosine of an untrained network is near 1, which would weaken the baseline.

    Args:
        gallery: (N, C). queries: (M, C).
        k: number of neighbours.
        gallery_groups, query_groups: (N,), (M,) names of the moment shown. A neighbour of the
            query's own group is never used: the same moment from another camera is a near copy.

    Raises:
        ValueError: a query has fewer than k neighbours outside its group.
    """
    if (gallery_groups is None) != (query_groups is None):
        raise ValueError("Give the groups of both gallery and queries, or of neither.")
    centre = gallery.mean(0, dtype=np.float64).astype(np.float32)
    unit_gallery, unit_queries = _unit(gallery - centre), _unit(queries - centre)
    group_ids = _shared_ids(gallery_groups, query_groups)
    parts = []
    for start in range(0, len(queries), block):
        cosines = unit_queries[start : start + block] @ unit_gallery.T
        if group_ids is not None:
            own = group_ids[1][start : start + block, None] == group_ids[0][None, :]
            cosines[own] = -np.inf
        parts.append(_top_k(cosines, k))
    return Neighbours(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def vote(neighbours: Neighbours, gallery_labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Majority vote of the neighbours; a tie goes to the class with the larger sum of cosines.

    Args:
        gallery_labels: (N,) ids in [0, K); unlabelled samples must not be in the gallery.

    Returns:
        (M,) predicted classes.
    """
    labels = gallery_labels[neighbours.positions]
    if labels.min() < 0:
        raise ValueError("A neighbour has no label (-1). Leave unlabelled samples out first.")
    queries, k = labels.shape
    # cosines lie in [-1, 1]; scaled below 1 / k in sum they can only decide between equal counts
    ballots = 1.0 + 0.25 * neighbours.cosines / k
    score = np.zeros((queries, num_classes))
    np.add.at(score, (np.arange(queries)[:, None], labels), ballots)
    return score.argmax(1)


def average_joints(
    neighbours: Neighbours, joints_rel_mm: np.ndarray, joint_valid: np.ndarray
) -> np.ndarray:
    """Mean joints of the neighbours, over those where the joint is valid.

    Args:
        joints_rel_mm: (N, J, 3) of the gallery, camera frame, wrist-relative.
        joint_valid: (N, J).

    Returns:
        (M, J, 3) mm; NaN where no neighbour has the joint.
    """
    valid = joint_valid[neighbours.positions][..., None]
    total = np.where(valid, joints_rel_mm[neighbours.positions], 0.0).sum(1, dtype=np.float64)
    count = valid.sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class ProbeFit:
    """A probe's predictions for the queries and the penalty that was chosen for it.

    Attributes:
        predictions: (M,) classes or (M, J, 3) joints in mm.
        penalty: the chosen lambda. penalties: those tried. scores: of each on the held-out part
            (accuracy for gestures, MPJPE in mm for joints).
        at_the_edge: the chosen lambda is the first or last of the list that was given; the best
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
    """Multinomial logistic regression on standardised frozen features.

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
    return ProbeFit(
        predictions,
        penalties[best],
        tuple(penalties[: len(scores)]),
        tuple(scores),
        held_out_by,
        len(labels),
        best in (0, len(penalties) - 1),
    )


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
    """Ridge regression from standardised frozen features to wrist-relative joints.

    Closed form in float64: W = (X'X / N + lambda I)^-1 X'Y / N with X and Y centred. Fitted on the
    samples with all 21 joints valid. Left and right hands are predicted by one map, in the camera
    frame as they are.

    Args:
        features: (N, C). queries: (M, C).
        joints_rel_mm: (N, J, 3), camera frame, relative to the wrist. joint_valid: (N, J).

    Returns:
        ProbeFit with predictions (M, J, 3) in mm.

    Raises:
        ValueError: fewer than two train samples have all joints.
    """
    whole = complete_hands(joint_valid)
    features, joints = features[whole], joints_rel_mm[whole].astype(np.float64)
    held_out, held_out_by = hold_out(subjects[whole], groups[whole])
    shape = joints.shape[1:]

    def fit(train, lambdas, test):
        x, z = _standardise(features[train], test)
        flat = _ridge_path(x, joints[train].reshape(train.sum(), -1), z, lambdas)
        return [prediction.reshape(-1, *shape) for prediction in flat]

    tried = fit(~held_out, penalties, features[held_out])
    valid = np.ones(joints.shape[:2], dtype=bool)[held_out]
    scores = [mpjpe_mm(p, joints[held_out], valid) for p in tried]
    best = int(np.argmin(scores))
    predictions = fit(np.ones(len(joints), dtype=bool), [penalties[best]], queries)[0]
    return ProbeFit(
        predictions,
        penalties[best],
        tuple(penalties),
        tuple(scores),
        held_out_by,
        len(joints),
        best in (0, len(penalties) - 1),
    )


def mean_pose(joints_rel_mm: np.ndarray, joint_valid: np.ndarray) -> np.ndarray:
    """The train set's mean wrist-relative pose (J, 3) in mm: what a feature must improve on."""
    return joints_rel_mm[complete_hands(joint_valid)].mean(0, dtype=np.float64)


def complete_hands(joint_valid: np.ndarray) -> np.ndarray:
    """(N,) which samples have all joints; at least two must."""
    whole = np.asarray(joint_valid).all(1)
    if whole.sum() < 2:
        raise ValueError(
            f"{int(whole.sum())} of {len(whole)} train samples have all joints, a probe to joints "
            "needs at least 2. Data without 3D joints has the gesture probes only."
        )
    return whole


def joint_errors_mm(
    predicted_mm: np.ndarray, joints_rel_mm: np.ndarray, joint_valid: np.ndarray
) -> np.ndarray:
    """Distance per joint, (M, J) mm; NaN where it is not counted.

    The wrist is the root: its error is 0 by construction and it is never counted. A sample whose
    wrist is not valid has no root and is left out whole.
    """
    counted = np.array(joint_valid, dtype=bool)
    counted &= counted[:, [WRIST]]
    counted[:, WRIST] = False
    distance = np.linalg.norm(np.asarray(predicted_mm, np.float64) - joints_rel_mm, axis=-1)
    missing = counted & ~np.isfinite(distance)
    if missing.any():
        raise ValueError(f"{int(missing.sum())} valid joints have no finite prediction.")
    return np.where(counted, distance, np.nan)


def mpjpe_mm(predicted_mm: np.ndarray, joints_rel_mm: np.ndarray, joint_valid: np.ndarray) -> float:
    """Root-relative MPJPE in mm: root = wrist, mean over the valid joints without the wrist.

    No alignment and no scaling of the prediction; camera frame.
    """
    errors = joint_errors_mm(predicted_mm, joints_rel_mm, joint_valid)
    if np.isnan(errors).all():
        raise ValueError("No joint is valid, so there is no error to average.")
    return float(np.nanmean(errors))


def hold_out(
    subjects: np.ndarray, groups: np.ndarray, *, share: float = 0.2
) -> tuple[np.ndarray, str]:
    """Splits train data for the choice of a penalty.

    Every fifth subject (at least one) in order of id, or, where there is one subject only, every
    fifth group of the sorted names.

    Returns:
        (N,) bool, true = held out; and "subject" or "group".

    Raises:
        ValueError: there is a single group, so nothing can be held out.
    """
    for units, name in ((np.asarray(subjects), "subject"), (np.asarray(groups), "group")):
        distinct, positions = np.unique(units, return_inverse=True)
        if len(distinct) > 1:
            stride = min(round(1 / share), len(distinct))
            return (positions % stride) == stride - 1, name
    raise ValueError("The train data is one group of one subject; nothing can be held out.")


def _unit(x: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.maximum(norm, 1e-12), dtype=np.float32)


def _shared_ids(gallery_groups, query_groups) -> tuple[np.ndarray, np.ndarray] | None:
    if gallery_groups is None:
        return None
    both = np.concatenate([np.asarray(gallery_groups), np.asarray(query_groups)])
    ids = np.unique(both, return_inverse=True)[1]
    return ids[: len(gallery_groups)], ids[len(gallery_groups) :]


def _top_k(cosines: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and values of the k largest of each row, largest first."""
    if k < 1:
        raise ValueError(f"k must be at least 1 neighbour, got {k}.")
    usable = np.isfinite(cosines).sum(1).min()
    if k > usable:
        raise ValueError(
            f"k = {k}, but a query has {usable} neighbours outside its own (capture, frame) group. "
            "Use a smaller k or more train samples."
        )
    positions = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(cosines, positions, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(positions, order, 1), np.take_along_axis(values, order, 1)


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
