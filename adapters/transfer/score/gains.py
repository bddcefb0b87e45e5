"""Differences by gesture, by joint, and on gestures that pretraining had or did not have.

Each part is compared like the whole: paired, with the same clusters, seeds and pretrainings. The
p-values are corrected by Holm for the number of parts, the intervals are not.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from adapters.transfer.score.exposure import Exposure
from adapters.transfer.score.results import ComparedPair, GroupGain
from gesture_pretrain.evaluation.poses.score import Score
from gesture_pretrain.evaluation.statistics.comparison import holm
from gesture_pretrain.evaluation.statistics.paired_scores import compare_scores
from gesture_pretrain.skeleton import JOINT_NAMES_MANO21

FEWEST_HANDS = 3  # gestures with fewer are not shown
FEWEST_CLUSTERS = 3  # parts with fewer get no interval: with two, the quantile of t is 12.7

Scores = Sequence[Score]


def gains_by_gesture(
    ours: Scores, theirs: Scores, *, seen: frozenset[str] | None, **runs: Any
) -> tuple[GroupGain, ...]:
    """Compare on each gesture of at least three hands, the best first.

    Args:
        ours, theirs: Scores of the arm and of its reference on the same hands, paired by seed.
        seen: Labels that pretraining had; None if unknown.
        **runs: `pretrainings` and `cluster_by` of `compare_scores`.
    """
    labels = ours[0].info["label"]
    names, hands = np.unique(labels[_counted(ours)], return_counts=True)
    found = [
        _gain(
            str(name),
            ours,
            theirs,
            seen=None if seen is None else str(name) in seen,
            hands=labels == name,
            **runs,
        )
        for name in names[hands >= FEWEST_HANDS]
    ]
    return tuple(sorted(_corrected(found), key=lambda gain: gain.difference_mm))


def gains_by_joint(ours: Scores, theirs: Scores, **runs: Any) -> tuple[GroupGain, ...]:
    """Compare the error of each joint, without a root, whose error is 0; see `gains_by_gesture`."""
    errors = np.stack([score.errors.joint_mm for score in (*ours, *theirs)])
    joints = np.flatnonzero((np.nan_to_num(errors) > 0).any((0, 1)))
    gains = [_gain(JOINT_NAMES_MANO21[j], ours, theirs, joint=int(j), **runs) for j in joints]
    return tuple(_corrected(gains))


def gains_by_exposure(
    ours: Scores, theirs: Scores, *, exposure: Exposure | None, **runs: Any
) -> tuple[GroupGain, ...]:
    """Compare on gestures that pretraining had, on others, and on poses without a gesture.

    Args:
        ours, theirs, **runs: See `gains_by_gesture`.
        exposure: Gestures that pretraining had; None if unknown, which gives ().
    """
    if exposure is None:
        return ()
    counted, labels = _counted(ours), ours[0].info["label"]
    seen, gestures = (np.isin(labels, sorted(names)) for names in exposure)
    found = []
    for part, kind, text in (
        (seen, "gesture", "in pretraining"),
        (gestures & ~seen, "gesture", "not in pretraining"),
        (~gestures & ~seen, "sequence", "without a gesture"),
    ):
        hands = counted & part
        if hands.any():
            count = len(np.unique(labels[hands]))
            name = f"{count} {kind}{'' if count == 1 else 's'} {text}"
            found.append(_gain(name, ours, theirs, seen=part is seen, hands=hands, **runs))
    return tuple(found)


def correct_exposure(pairs: Sequence[ComparedPair]) -> list[ComparedPair]:
    """Return the pairs with one Holm correction over `by_exposure` of all: they share a table."""
    corrected = iter(_corrected([gain for pair in pairs for gain in pair.by_exposure]))
    return [
        replace(pair, by_exposure=tuple(next(corrected) for _ in pair.by_exposure))
        for pair in pairs
    ]


def _counted(scores: Scores) -> np.ndarray:
    """Return which hands (N,) have a counted joint."""
    return ~np.isnan(scores[0].errors.joint_mm).all(1)


def _gain(name: str, ours, theirs, *, seen: bool | None = None, **part) -> GroupGain:
    """Compare one part, with an uncorrected p-value."""
    d = compare_scores(ours, theirs, **part)
    gain = GroupGain(name, d.difference_mm, d.samples, seen, d.clusters)
    if d.clusters < FEWEST_CLUSTERS:
        return gain
    return replace(gain, low_mm=d.low_mm, high_mm=d.high_mm, p_holm=d.p_value)


def _corrected(gains: Sequence[GroupGain]) -> list[GroupGain]:
    """Correct the p-values by Holm; parts without an interval are not tested and do not count."""
    tested = [place for place, gain in enumerate(gains) if not np.isnan(gain.p_holm)]
    adjusted = holm([gains[place].p_holm for place in tested])
    corrected = list(gains)
    for place, p in zip(tested, adjusted, strict=True):
        corrected[place] = replace(gains[place], p_holm=float(p))
    return corrected
