"""k nearest neighbours of frozen features, and their predictions for a query.

Letters: N gallery samples, M queries, C channels, K classes, J = 21 joints.
"""

from dataclasses import dataclass

import numpy as np


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
    """Find nearest neighbours by cosine similarity of features centred on the gallery mean.

    Pooled ReLU features are all positive and share one large direction; without centring every
    cosine of an untrained network is near 1, which would weaken the baseline.

    Args:
        gallery: (N, C). queries: (M, C).
        k: Number of neighbours.
        gallery_groups, query_groups: (N,), (M,) names of the moment shown. A neighbour of the
            query's own group is never used: the same moment from another camera is a near copy.

    Raises:
        ValueError: A query has fewer than k neighbours outside its group.
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
    """Predict classes by majority vote; a tie goes to the class with the larger cosine sum.

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
    """Average the joints of the neighbours, over those where the joint is valid.

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
    """Find positions and values of the k largest entries of each row, largest first."""
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
