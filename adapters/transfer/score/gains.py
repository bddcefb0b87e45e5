"""Where a difference is: by gesture, by joint, and on gestures that pretraining had and had not.

Each part is compared as the whole is: paired, with the same clusters, seeds and pretrainings.
Intervals are not corrected for the number of parts; p-values are, by Holm.
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

FEWEST_HANDS = 3  # of a gesture, to be shown
FEWEST_CLUSTERS = 3  # of a part, for an interval: of two, Student's t is 12.7 and says nothing

Scores = Sequence[Score]


def gains_by_gesture(
    ours: Scores,
    theirs: Scores,
    *,
    seen: frozenset[str] | None,
    **runs: Any,
) -> tuple[GroupGain, ...]:
    """Difference on each gesture of at least three hands, the best first.

    Args:
        ours, theirs: of the arm and its reference, equal seeds at equal places, on the same hands.
        seen: labels that pretraining has; None where that is not known.
        **runs: `pretrainings` and `cluster_by` of `compare_scores`.
    """
    labels = ours[0].info["label"]
    counted = ~np.isnan(ours[0].errors.joint_mm).all(1)
    names, hands = np.unique(labels[counted], return_counts=True)
    names = names[hands >= FEWEST_HANDS]
    found = [
        _gain(
            str(name),
            ours,
            theirs,
            seen=_is_in(name, seen),
            hands=labels == name,
            **runs,
        )
        for name in names
    ]
    return tuple(sorted(_corrected(found), key=lambda gain: gain.difference_mm))


def gains_by_joint(ours: Scores, theirs: Scores, **runs: Any) -> tuple[GroupGain, ...]:
    """Difference of each joint; a root, which has no error, is left out; see `gains_by_gesture`."""
    errors = np.stack([score.errors.joint_mm for score in (*ours, *theirs)])
    joints = [joint for joint in range(len(JOINT_NAMES_MANO21)) if _has_errors(errors[..., joint])]
    gains = [
        _gain(JOINT_NAMES_MANO21[joint], ours, theirs, joint=joint, **runs) for joint in joints
    ]
    return tuple(_corrected(gains))


def gains_by_exposure(
    ours: Scores, theirs: Scores, *, exposure: Exposure | None, **runs: Any
) -> tuple[GroupGain, ...]:
    """Difference on gestures seen in pretraining, on other gestures, and on poses without gesture.

    Args:
        ours, theirs, **runs: See `gains_by_gesture`.
        exposure: Gestures that pretraining had; None, which gives (), if that is not known.
    """
    if exposure is None:
        return ()
    counted = ~np.isnan(ours[0].errors.joint_mm).all(1)
    labels = ours[0].info["label"]
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
    """The same pairs with Holm over the gestures seen and unseen of all of them: one table."""
    corrected = iter(_corrected([gain for pair in pairs for gain in pair.by_exposure]))
    return [
        replace(pair, by_exposure=tuple(next(corrected) for _ in pair.by_exposure))
        for pair in pairs
    ]


def _is_in(label: str, seen: frozenset[str] | None) -> bool | None:
    return None if seen is None else str(label) in seen


def _has_errors(errors_mm: np.ndarray) -> bool:
    return bool((np.nan_to_num(errors_mm) > 0).any())


def _gain(name: str, ours, theirs, *, seen: bool | None = None, **part) -> GroupGain:
    """One part; its p-value is not corrected yet."""
    d = compare_scores(ours, theirs, **part)
    gain = GroupGain(name, d.difference_mm, d.samples, seen, d.clusters)
    if d.clusters < FEWEST_CLUSTERS:
        return gain
    return replace(gain, low_mm=d.low_mm, high_mm=d.high_mm, p_holm=d.p_value)


def _corrected(gains: Sequence[GroupGain]) -> list[GroupGain]:
    """Parts without an interval are not tested and do not count."""
    tested = [place for place, gain in enumerate(gains) if not np.isnan(gain.p_holm)]
    adjusted = holm([gains[place].p_holm for place in tested])
    corrected = list(gains)
    for place, p in zip(tested, adjusted, strict=True):
        corrected[place] = replace(gains[place], p_holm=float(p))
    return corrected
