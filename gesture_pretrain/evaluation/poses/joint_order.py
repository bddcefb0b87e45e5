"""Named joint orders, and permutations between them."""

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
    """Joints are in another order than stated, or in an unknown one."""


def canonical_order(name: str) -> str:
    """Resolve a name or alias to a key of ``JOINT_ORDERS``.

    Raises:
        JointOrderError: The name is unknown.
    """
    name = ALIASES.get(name, name)
    if name not in JOINT_ORDERS:
        raise JointOrderError(
            f"unknown joint order {name!r}. Known: {', '.join([*JOINT_ORDERS, *ALIASES])}. Put "
            "joints in any other order into mano21 first"
        )
    return name


def permutation(target: str, source: str) -> np.ndarray:
    """Return (21,) int64 with ``in_target = in_source[..., permutation, :]``."""
    target_names = JOINT_ORDERS[canonical_order(target)]
    source_names = JOINT_ORDERS[canonical_order(source)]
    return np.array([source_names.index(name) for name in target_names], np.int64)
