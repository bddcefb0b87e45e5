"""k nearest neighbours of frozen features, and what they predict for a query.

Letters: N gallery samples, M queries, C channels, K classes, J = 21 joints.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors


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
    gallery_groups: np.ndarray,
    query_groups: np.ndarray,
) -> Neighbours:
    """Find nearest neighbours by cosine, of features centred on the gallery's mean.

    Pooled ReLU features are all positive and share one large direction. Without centring, every
    cosine of an untrained network is near 1, which would weaken the baseline.

    Args:
        gallery: (N, C) features to search.
        queries: (M, C) features to find neighbours of.
        k: Number of neighbours.
        gallery_groups: (N,) names of the moment shown. A neighbour of the query's own group is
            never used, because the same moment from another camera is a near copy.
        query_groups: (M,) names of the moment shown.

    Raises:
        ValueError: k is 0 or less, or a query has fewer than k neighbours outside its group.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1 neighbour, got {k}.")
    ids = np.unique(np.concatenate([gallery_groups, query_groups]), return_inverse=True)[1]
    gallery_ids, query_ids = ids[: len(gallery)], ids[len(gallery) :]
    centre = gallery.mean(0, dtype=np.float64).astype(np.float32)
    search = NearestNeighbors(metric="cosine").fit(gallery - centre)
    # enough for k others even if the query's whole group is nearest
    found = min(k + int(np.bincount(gallery_ids).max()), len(gallery))
    distances, positions = search.kneighbors(queries - centre, n_neighbors=found)
    own = gallery_ids[positions] == query_ids[:, None]
    usable = (~own).sum(1).min()
    if k > usable:
        raise ValueError(
            f"k = {k}, but a query has {usable} neighbours outside its own (capture, frame) group. "
            "Use a smaller k or more training samples."
        )
    nearest = np.argsort(own, axis=1, kind="stable")[:, :k]
    return Neighbours(
        np.take_along_axis(positions, nearest, 1), 1 - np.take_along_axis(distances, nearest, 1)
    )


def vote(neighbours: Neighbours, gallery_labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Let the neighbours vote; a tie goes to the class with the larger sum of cosines.

    Args:
        neighbours: Neighbours of M queries.
        gallery_labels: (N,) ids in [0, K); unlabelled samples must not be in the gallery.
        num_classes: K.

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
    """Average each joint over the neighbours in which it is valid.

    Args:
        neighbours: Neighbours of M queries.
        joints_rel_mm: (N, J, 3) of the gallery, camera frame, wrist-relative.
        joint_valid: (N, J) of the gallery.

    Returns:
        (M, J, 3) mm; NaN where no neighbour has the joint.
    """
    valid = joint_valid[neighbours.positions][..., None]
    total = np.where(valid, joints_rel_mm[neighbours.positions], 0.0).sum(1, dtype=np.float64)
    count = valid.sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
