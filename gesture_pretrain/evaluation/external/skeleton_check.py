"""Plausibility checks of the stated joint order and unit of predicted joints."""

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.splits.select import spread
from gesture_pretrain.evaluation.poses.joint_order import (
    JOINT_ORDERS,
    JointOrderError,
    permutation,
)
from gesture_pretrain.evaluation.poses.predictions import PredictionError
from gesture_pretrain.skeleton import BONES_MANO21

_CHECKED_HANDS = 256
# Mean deviation of 20 bones, as a fraction. People differ by less than 0.1; joints in another known
# order, or shuffled joints, deviate by 0.4 or more.
_SUSPICIOUS, _IMPOSSIBLE = 0.15, 0.35
_SPREAD_MM = (5.0, 500.0)


def require_skeleton(
    joints: np.ndarray, order, index: HandIndex, rows: np.ndarray, hand: np.ndarray
) -> None:
    """Compare the proportions of the bones with those of the annotated hands.

    Args:
        joints: (N, 21, 3) in any unit, in the stated order.
        order: Stated order with ``name`` and ``to_mano21``.
        index: Index of the predicted images. Without annotated joints, nothing is checked.
        rows: (N,) rows of the index.
        hand: (N,) 0 right, 1 left.

    Raises:
        JointOrderError: The bones match another known order, or no order.
    """
    reference = _annotated_bones(index, rows, hand)
    if reference is None:
        return
    joints = spread(joints, _CHECKED_HANDS)
    stated = _deviation(joints[:, order.to_mano21], reference)
    others = {
        name: _deviation(joints[:, permutation("mano21", name)], reference) for name in JOINT_ORDERS
    }
    best = min(others, key=others.get)
    if others[best] < min(_SUSPICIOUS, stated / 2) and stated > _SUSPICIOUS:
        raise JointOrderError(
            f"the stated joint order is '{order.name}', but the bones match '{best}' (mean "
            f"deviation {others[best]:.0%} instead of {stated:.0%})"
        )
    if not stated < _IMPOSSIBLE:
        raise JointOrderError(
            f"in order '{order.name}' the bones deviate by {stated:.0%} from those of the "
            "annotated hands: the joints are shuffled, or not those of a hand. To score them "
            "anyway, disable this check (check_skeleton=False)"
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


def _deviation(joints: np.ndarray, reference: np.ndarray) -> float:
    """Compute the mean deviation of the median bones after scaling to one size, as a fraction."""
    bones = np.maximum(np.median(_bones(joints), axis=0), 1e-12)
    ratio = np.log(bones / reference)
    return float(np.expm1(np.mean(np.abs(ratio - np.median(ratio)))))
