"""Paired difference of two systems, weighted so that it equals the difference of their means.

A protocol's mean is a weighted mean over (hand, joint) pairs. Summing over the joints of a hand
gives its error and weight, with which the tested difference equals that of the reported means.
"""

from collections.abc import Sequence

import numpy as np

from gesture_pretrain.evaluation.poses.protocol import Protocol, ProtocolError
from gesture_pretrain.evaluation.poses.score import Score
from gesture_pretrain.evaluation.statistics.comparison import (
    PairedDifference,
    cluster_ids,
    compare_paired,
)

CLUSTERS = ("subject", "label")  # the label of an index is the sequence


def pair_weights(protocol: Protocol, joint_mm: np.ndarray, hand: np.ndarray) -> np.ndarray:
    """Compute the weight (N, J) of each (hand, joint) in a protocol's single-hand mean, sum 1.

    A joint without any counted hand has no weight, also where the protocol's mean would be NaN.

    Args:
        joint_mm: (N, J), NaN where not counted.
        hand: (N,) 0 right, 1 left.

    Raises:
        ProtocolError: The protocol's mean is of interacting hands.
    """
    counted = ~np.isnan(joint_mm)
    if protocol.averaging == "hand" or protocol.images == "interacting":
        raise ProtocolError(
            f"protocol {protocol.name} is of interacting hands; pairs of single hands are compared"
        )
    if protocol.averaging == "pairs":
        weights = counted.astype(float)
    elif protocol.averaging == "sample":
        weights = counted / np.maximum(counted.sum(1, keepdims=True), 1)
    else:  # per joint of each side, then over the joints
        weights = np.zeros(joint_mm.shape)
        for side in (0, 1):
            mine = counted & (hand == side)[:, None]
            weights += mine / np.maximum(mine.sum(0), 1)
    total = weights.sum()
    return weights / total if total else weights


def hand_values(
    score: Score, *, hands: np.ndarray | None = None, joint: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute error (N,) and weight (N,) of each hand; the weighted mean is the MPJPE.

    Args:
        score: Score of one system.
        hands: Bool, which hands are returned, weighted as if there were no others; None for all.
        joint: The error of this joint alone, at its own weights; None for the hand's.
    """
    joint_mm, hand = score.errors.joint_mm, score.info["hand"]
    if hands is not None:
        joint_mm, hand = joint_mm[hands], hand[hands]
    weights = pair_weights(score.protocol, joint_mm, hand)
    if joint is not None:
        return joint_mm[:, joint], weights[:, joint]
    of_hand = weights.sum(1)
    with np.errstate(invalid="ignore"):
        errors = np.where(weights > 0, weights * joint_mm, 0.0).sum(1) / of_hand
    return errors, of_hand


def compare_scores(
    scores: Sequence[Score],
    reference: Sequence[Score],
    *,
    meshes: bool = False,
    hands: np.ndarray | None = None,
    joint: int | None = None,
    cluster_by: Sequence[str] = CLUSTERS,
    pretrainings: Sequence | None = None,
) -> PairedDifference:
    """Compare MPJPE (or MPVPE) of a system and its reference, with interval and p-value.

    Args:
        scores: Scores of the system, one per seed, under one protocol.
        reference: Scores of the reference, for the same seeds in the same order.
        meshes: Compare MPVPE.
        hands: Bool, one for each hand of the scores, compare on these; None for all.
        joint: Compare the error of this joint alone; None for MPJPE.
        cluster_by: Names in `Score.info`; hands alike in all of them are one cluster.
        pretrainings: Pretraining each run starts from; None if all runs share one.

    Raises:
        ValueError: Other hands, protocols or numbers of seeds, nothing to count, or a part of
            meshes, which has no weights.
    """
    everything = [*scores, *reference]
    _require_same_hands(everything)
    if len(scores) != len(reference):
        raise ValueError(f"{len(scores)} seeds against {len(reference)}; equal seeds are paired.")
    if meshes and (hands is not None or joint is not None):
        raise ValueError("meshes are compared on all hands; hands and joint are parts of MPJPE.")
    if meshes:
        values, weights = [score.errors.vertex_mm for score in everything], None
    else:
        values = [hand_values(score, hands=hands, joint=joint)[0] for score in everything]
        weights = hand_values(everything[0], hands=hands, joint=joint)[1]
    return compare_paired(
        np.stack(values[: len(scores)]),
        np.stack(values[len(scores) :]),
        _clusters(everything[0], cluster_by, hands),
        weights=weights,
        pretrainings=pretrainings,
    )


def mean_interval(
    scores: Sequence[Score], *, cluster_by: Sequence[str] = CLUSTERS
) -> tuple[float, float]:
    """Compute the 95 % interval of a system's MPJPE over its seeds; NaN with a single cluster.

    Intervals of two systems may overlap although their difference is significant, because both are
    scored on the same hands. Use `compare_scores` to compare them.

    Raises:
        ValueError: Scores of other hands or protocols, or nothing to count.
    """
    _require_same_hands(scores)
    errors = np.stack([hand_values(score)[0] for score in scores])
    weights = hand_values(scores[0])[1]
    # the difference to a system without any error
    none = np.where(np.isnan(errors), np.nan, 0.0)
    d = compare_paired(errors, none, _clusters(scores[0], cluster_by), weights=weights)
    return d.low_mm, d.high_mm


def _clusters(score: Score, names: Sequence[str], hands: np.ndarray | None = None) -> np.ndarray:
    columns = (score.info[name] if hands is None else score.info[name][hands] for name in names)
    return cluster_ids(*(np.unique(c, return_inverse=True)[1].reshape(-1) for c in columns))


def _require_same_hands(scores: Sequence[Score]) -> None:
    first = scores[0]
    for score in scores[1:]:
        same = score.protocol.name == first.protocol.name and all(
            np.array_equal(score.info[name], first.info[name]) for name in ("rows", "hand")
        )
        if not same:
            raise ValueError(
                f"'{score.system}' was scored on {len(score.info['rows'])} hands under "
                f"{score.protocol.name}, '{first.system}' on {len(first.info['rows'])} under "
                f"{first.protocol.name}. Score both on the rows they share, with one protocol."
            )
