"""Joint flags together with their joint order.

The flags of InterHand2.6M and the joints of a mesh have different orders, and EANet's public
evaluator multiplies the two without reordering. Here, reproducing that requires an explicit call of
``read_as``.
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
    """Mask of the joints that count.

    Attributes:
        flags: (..., 21) bool.
        order: Joint order of the last axis, a key of ``joint_order.JOINT_ORDERS``.
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
        """Reorder the flags together with their joints."""
        return JointMask(self.flags[..., permutation(order, self.order)], order)

    def read_as(self, order: str) -> "JointMask":
        """Reinterpret the flags in another order, so that row k gates row k of ``order``.

        Reproduces a defect of published evaluators.
        """
        return JointMask(self.flags, order)

    def require_order(self, order: str) -> np.ndarray:
        """Return the flags (..., 21) if they are in ``order``.

        Raises:
            JointOrderError: The flags are in another order.
        """
        if canonical_order(order) != self.order:
            raise JointOrderError(
                f"this mask is in {self.order} order, but the joints are in {order} order. Use "
                f"mask.in_order({order!r})"
            )
        return self.flags

    def masked(self, values: np.ndarray, *, order: str) -> np.ndarray:
        """Replace values (..., 21) of joints in ``order`` that do not count by NaN.

        Raises:
            JointOrderError: The mask is in another order.
        """
        return np.where(self.require_order(order), values, np.nan)
