"""The 21-joint hand skeleton: names, orders, bones and fingertip vertices.

Hand datasets use three joint orders. All tables are per hand.

* **mano21**, the order of this toolkit (also FreiHAND's and OpenPose's): wrist first, then thumb,
  index, middle, ring, pinky, each from its base knuckle (1) to its tip (4).
* **interhand21**, the order of the InterHand2.6M annotations: the same fingers, each from tip (4)
  to base knuckle (1), and the wrist last. In a file the right hand fills rows 0-20 and the left
  hand rows 21-41.
* **mano16**, the order of the MANO model's own joints: wrist, index, middle, *pinky, ring*, thumb,
  three joints each and no tips.

Permutations are written so that ``joints_target = joints_source[TARGET_FROM_SOURCE]``.
"""

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
HANDS = ("right", "left")  # position on a hand axis: 0 = right, 1 = left
NUM_JOINTS = 21

JOINT_NAMES_MANO21 = (
    "wrist",
    *(f"{finger}{k}" for finger in FINGERS for k in (1, 2, 3, 4)),
)
JOINT_NAMES_INTERHAND = (
    *(f"{finger}{k}" for finger in FINGERS for k in (4, 3, 2, 1)),
    "wrist",
)
FINGERS_MANO16 = ("index", "middle", "pinky", "ring", "thumb")
JOINT_NAMES_MANO16 = (
    "wrist",
    *(f"{finger}{k}" for finger in FINGERS_MANO16 for k in (1, 2, 3)),
)

MANO21_FROM_INTERHAND = tuple(JOINT_NAMES_INTERHAND.index(name) for name in JOINT_NAMES_MANO21)
INTERHAND_FROM_MANO21 = tuple(JOINT_NAMES_MANO21.index(name) for name in JOINT_NAMES_INTERHAND)

# mano16 joints followed by the tips of thumb, index, middle, ring, pinky
_MANO16_TIPS_NAMES = (*JOINT_NAMES_MANO16, *(f"{finger}4" for finger in FINGERS))
MANO21_FROM_MANO16_TIPS = tuple(_MANO16_TIPS_NAMES.index(name) for name in JOINT_NAMES_MANO21)

PARENTS_MANO21 = (-1, *((0 if k == 1 else 4 * f + k - 1) for f in range(5) for k in (1, 2, 3, 4)))
BONES_MANO21 = tuple((PARENTS_MANO21[j], j) for j in range(1, NUM_JOINTS))  # (parent, child)
PARENTS_MANO16 = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)

# MANO has no fingertip joints; code bases use a vertex instead, but not the same one. "smplx" is
# smplx's table, "manopth" that of manopth and IntagHand, "interhand" that of the joint regressor
# distributed with InterHand2.6M. Middle 444 and 445 are about 5 mm apart.
TIP_VERTICES = {
    "smplx": {"thumb": 744, "index": 320, "middle": 443, "ring": 554, "pinky": 671},
    "manopth": {"thumb": 745, "index": 317, "middle": 444, "ring": 556, "pinky": 673},
    "interhand": {"thumb": 745, "index": 317, "middle": 445, "ring": 556, "pinky": 673},
}

# One hue per finger, distinguishable in the common colour vision deficiencies (Okabe and Ito, 2008)
FINGER_COLORS_RGB = {
    "wrist": (255, 255, 255),
    "thumb": (230, 159, 0),
    "index": (86, 180, 233),
    "middle": (0, 158, 115),
    "ring": (240, 228, 66),
    "pinky": (204, 121, 167),
}


def finger_of_joint(joint: int) -> str:
    """Return the finger that a joint (mano21 order, 0-20) belongs to, or ``"wrist"``."""
    if not 0 <= joint < NUM_JOINTS:
        raise ValueError(f"joint {joint} is not one of 0-20 (mano21 order)")
    return "wrist" if joint == 0 else FINGERS[(joint - 1) // 4]


def tip_vertices(convention: str) -> tuple[int, ...]:
    """Return the fingertip vertices of a MANO mesh, in the order of ``FINGERS``.

    Args:
        convention: A key of ``TIP_VERTICES``.

    Raises:
        ValueError: For any other name.
    """
    if convention not in TIP_VERTICES:
        raise ValueError(
            f"unknown fingertip convention {convention!r}; choose one of {sorted(TIP_VERTICES)}"
        )
    return tuple(TIP_VERTICES[convention][finger] for finger in FINGERS)
