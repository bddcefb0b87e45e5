"""Joint orders by name: what rows of a joint array mean, and permutations between orders."""

from collections.abc import Sequence

import numpy as np

from gesture_pretrain.skeleton import (
    FINGERS,
    JOINT_NAMES_INTERHAND,
    JOINT_NAMES_MANO16,
    JOINT_NAMES_MANO21,
)

# MANO's own 16 joints, then the tips of thumb, index, middle, ring, pinky: what smplx returns
JOINT_NAMES_MANO16_TIPS = (*JOINT_NAMES_MANO16, *(f"{finger}4" for finger in FINGERS))
JOINT_ORDERS = {
    "mano21": JOINT_NAMES_MANO21,
    "interhand21": JOINT_NAMES_INTERHAND,
    "mano16_tips": JOINT_NAMES_MANO16_TIPS,
}
ALIASES = {"openpose": "mano21", "freihand": "mano21", "smplx": "mano16_tips"}


class JointOrderError(ValueError):
    """Joints, or flags of joints, are in another order than the one they are used in."""


def canonical_order(name: str) -> str:
    """The key of ``JOINT_ORDERS`` that a name or alias stands for.

    Raises:
        JointOrderError: For an unknown name.
    """
    name = ALIASES.get(name, name)
    if name not in JOINT_ORDERS:
        raise JointOrderError(
            f"unknown joint order {name!r}; known are {', '.join([*JOINT_ORDERS, *ALIASES])}. "
            "Joints in any other order: give the names of all 21 instead"
        )
    return name


def order_of_names(names: Sequence[str]) -> tuple[int, ...]:
    """Where each mano21 joint stands in a list of the 21 joint names.

    Raises:
        JointOrderError: Naming what is missing, unknown or given twice.
    """
    wanted = set(JOINT_NAMES_MANO21)
    unknown, missing = sorted(set(names) - wanted), sorted(wanted - set(names))
    if unknown or missing or len(names) != len(wanted):
        raise JointOrderError(
            f"{len(names)} joint names are not the 21 joints of a hand: unknown {unknown}, missing "
            f"{missing}. Names are {', '.join(JOINT_NAMES_MANO21[:6])}, ... (4 = fingertip)"
        )
    return tuple(list(names).index(name) for name in JOINT_NAMES_MANO21)


def permutation(target: str, source: str) -> np.ndarray:
    """(21,) int64 with ``in_target = in_source[..., permutation, ...]`` along the joint axis."""
    target_names = JOINT_ORDERS[canonical_order(target)]
    source_names = JOINT_ORDERS[canonical_order(source)]
    return np.array([source_names.index(name) for name in target_names], np.int64)
