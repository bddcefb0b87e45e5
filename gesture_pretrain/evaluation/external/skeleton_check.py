"""Plausibility checks of the stated joint order and unit of predicted joints."""

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.splits.select import spread
from gesture_pretrain.evaluation.poses.joint_order import JointOrderError
from gesture_pretrain.evaluation.poses.predictions import PredictionError
from gesture_pretrain.skeleton import BONES_MANO21

_CHECKED_HANDS = 256
# Mean deviation of 20 bones, as a fraction. People differ by less than 0.1; joints in another known
# order, or shuffled joints, deviate by 0.4 or more.
_LARGEST_DEVIATION = 0.35
_SPREAD_MM = (5.0, 500.0)


def require_skeleton(
    joints: np.ndarray, index: HandIndex, rows: np.ndarray, hand: np.ndarray
) -> None:
    """Compare the proportions of the bones with those of the annotated hands.

    Args:
        joints: (N, 21, 3) in any unit, mano21 order.
        index: Index of the predicted images. Without annotated joints, nothing is checked.
        rows: (N,) rows of the index.
        hand: (N,) 0 right, 1 left.

    Raises:
        JointOrderError: The bones are not those of a hand in this order.
    """
    reference = _annotated_bones(index, rows, hand)
    if reference is None:
        return
    bones = np.median(_bones(spread(joints, _CHECKED_HANDS)), axis=0)
    ratio = np.log(np.maximum(bones, 1e-12) / reference)
    deviation = np.expm1(np.mean(np.abs(ratio - np.median(ratio))))  # scaled to one size
    if not deviation < _LARGEST_DEVIATION:
        raise JointOrderError(
            f"in the stated joint order the bones deviate by {deviation:.0%} from those of the "
            "annotated hands: the joints are in another order, or not those of a hand. To score "
            "them anyway, disable this check (check_skeleton=False)"
        )


def require_hand_size(joints_mm: np.ndarray, unit: str) -> None:
    """Check that joints (N, 21, 3), in any order, have a plausible size.

    Raises:
        PredictionError: The median spread about their mean is outside 5 to 500 mm.
    """
    centred = joints_mm - joints_mm.mean(1, keepdims=True)
    extent_mm = np.median(np.sqrt(np.mean(np.sum(centred**2, axis=-1), axis=-1)))
    if not _SPREAD_MM[0] <= extent_mm <= _SPREAD_MM[1]:
        raise PredictionError(
            f"in unit '{unit}', the median spread of the joints about their mean is "
            f"{extent_mm:.3g} mm, but that of a hand is about 50 mm. State the correct unit."
        )


def _annotated_bones(index: HandIndex, rows: np.ndarray, hand: np.ndarray) -> np.ndarray | None:
    """Compute median bone lengths (20,) of the annotated hands, mm; None without annotations."""
    found = []
    for i in spread(np.arange(len(rows)), _CHECKED_HANDS):
        joints = index.record(int(rows[i])).joints_world_mm
        if joints is not None:
            found.append(_bones(joints[hand[i]]))
    if not found or np.isnan(found).all(0).any():
        return None
    return np.nanmedian(found, axis=0)


def _bones(joints: np.ndarray) -> np.ndarray:
    parents, children = np.array(BONES_MANO21).T
    return np.linalg.norm(joints[..., children, :] - joints[..., parents, :], axis=-1)
