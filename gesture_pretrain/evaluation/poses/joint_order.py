"""Named joint orders, and permutations between them."""

from collections.abc import Sequence

import numpy as np

from gesture_pretrain.skeleton import (
    FINGERS,
    JOINT_NAMES_INTERHAND,
    JOINT_NAMES_MANO16,
    JOINT_NAMES_MANO21,
)

# MANO's 16 joints, then the tips of thumb, index, middle, ring, pinky, as returned by smplx
JOINT_NAMES_MANO16_TIPS = (*JOINT_NAMES_MANO16, *(f"{finger}4" for finger in FINGERS))
JOINT_ORDERS = {
    "mano21": JOINT_NAMES_MANO21,
    "interhand21": JOINT_NAMES_INTERHAND,
    "mano16_tips": JOINT_NAMES_MANO16_TIPS,
}
ALIASES = {"openpose": "mano21", "freihand": "mano21", "smplx": "mano16_tips"}


class JointOrderError(ValueError):
    """Joints, or flags of joints, are in the wrong order."""


def canonical_order(name: str) -> str:
    """Resolve a name or alias to a key of ``JOINT_ORDERS``.

    Raises:
        JointOrderError: The name is unknown.
    """
    name = ALIASES.get(name, name)
    if name not in JOINT_ORDERS:
        raise JointOrderError(
            f"unknown joint order {name!r}. Known: {', '.join([*JOINT_ORDERS, *ALIASES])}. For any "
            "other order, pass the names of all 21 joints"
        )
    return name


def order_of_names(names: Sequence[str]) -> tuple[int, ...]:
    """Find the position of each mano21 joint in a list of the 21 joint names.

    Raises:
        JointOrderError: A name is missing, unknown or repeated.
    """
    required = set(JOINT_NAMES_MANO21)
    unknown, missing = sorted(set(names) - required), sorted(required - set(names))
    if unknown or missing or len(names) != len(required):
        raise JointOrderError(
            f"{len(names)} joint names are not the 21 joints of a hand: unknown {unknown}, missing "
            f"{missing}. Expected names: {', '.join(JOINT_NAMES_MANO21[:6])}, ... (4 = fingertip)"
        )
    return tuple(list(names).index(name) for name in JOINT_NAMES_MANO21)


def permutation(target: str, source: str) -> np.ndarray:
    """Return (21,) int64 with ``in_target = in_source[..., permutation, :]``."""
    target_names = JOINT_ORDERS[canonical_order(target)]
    source_names = JOINT_ORDERS[canonical_order(source)]
    return np.array([source_names.index(name) for name in target_names], np.int64)
