"""Flags of joints that know the order they are in.

InterHand2.6M's flags are in one joint order and a mesh's joints in another; the public evaluator of
EANet multiplies the two as they come. Here that has to be said in words (``read_as``).
"""

from dataclasses import dataclass

import numpy as np

from gesture_pretrain.evaluation.poses.joint_order import (
    JointOrderError,
    canonical_order,
    permutation,
)
from gesture_pretrain.skeleton import NUM_JOINTS


@dataclass(frozen=True)
class JointMask:
    """Which joints count.

    Attributes:
        flags: (..., 21) bool.
        order: The joint order of the last axis, a key of ``joint_order.JOINT_ORDERS``.
    """

    flags: np.ndarray
    order: str

    def __post_init__(self) -> None:
        flags = np.asarray(self.flags)
        if flags.dtype != bool or flags.shape[-1:] != (NUM_JOINTS,):
            raise ValueError(
                f"a joint mask is bool (..., {NUM_JOINTS}), got {flags.dtype} {flags.shape}"
            )
        object.__setattr__(self, "flags", flags)
        object.__setattr__(self, "order", canonical_order(self.order))

    def in_order(self, order: str) -> "JointMask":
        """The same flags, each still at its joint, in another order."""
        return JointMask(self.flags[..., permutation(order, self.order)], order)

    def read_as(self, order: str) -> "JointMask":
        """The flags moved to *other joints*: row k of this order gates row k of ``order``.

        A defect of published evaluators; it exists to reproduce their numbers.
        """
        return JointMask(self.flags, order)

    def require_order(self, order: str) -> np.ndarray:
        """The flags, (..., 21), for joints that are in ``order``.

        Raises:
            JointOrderError: They are in another order.
        """
        if canonical_order(order) != self.order:
            raise JointOrderError(
                f"this mask is in {self.order} order and the joints are in {order} order: its rows "
                f"stand for other joints. Use mask.in_order({order!r})"
            )
        return self.flags

    def masked(self, values: np.ndarray, *, order: str) -> np.ndarray:
        """``values`` (..., 21) of joints in ``order``, NaN where not counted.

        Raises:
            JointOrderError: The mask is in another order.
        """
        return np.where(self.require_order(order), values, np.nan)
