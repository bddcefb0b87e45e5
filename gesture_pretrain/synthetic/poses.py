"""Hand poses over time: from neutral to a gesture and back, between gestures, and free poses.

A take is a short recording of one hand, as a peak-pose sequence of InterHand2.6M is. Its finger
angles (see `gestures`) pass through key poses with a smooth velocity. Candidates in which fingers
penetrate each other are rejected; for that a finger is a chain of capsules.
"""

import numpy as np

from gesture_pretrain.geometry.axis_angle import rodrigues
from gesture_pretrain.synthetic.gestures import (
    LOWER_DEG,
    MANO16_FIRST,
    UPPER_DEG,
    GestureFolder,
    hand_pose_from_angles,
    vary_angles_deg,
)

TRANSITION, FREE = "transition", "free"
# Folders without a gesture; as the range-of-motion folders of InterHand2.6M they begin with ROM
CONTINUOUS_FOLDERS = tuple(
    GestureFolder(f"ROM{number}_{side}_{name}", hand, pose)
    for number, name, pose in ((21, "Transitions", TRANSITION), (22, "Free_Poses", FREE))
    for side, hand in (("RT", "right"), ("LT", "left"))
)

_ATTEMPTS = 12
_PENETRATION_LIMIT_M = 0.004  # soft tissue yields this much
# Where each finger starts in mano21 order, and radii of its three bones
_FIRST_JOINT = {"thumb": 1, "index": 5, "middle": 9, "ring": 13, "pinky": 17}
_RADII_M = np.array(
    [
        [0.012, 0.0085, 0.0070],
        [0.0090, 0.0075, 0.0060],
        [0.0092, 0.0077, 0.0062],
        [0.0088, 0.0073, 0.0060],
        [0.0080, 0.0066, 0.0054],
    ]
)
_ROUND_TIP = 0.25  # the last capsule ends this fraction of its bone before the tip
_PALM_RADIUS_M = 0.010
_SAMPLES = (np.arange(4) + 0.5) / 4  # points along a capsule's axis


def draw_take_deg(
    rng: np.random.Generator,
    pose_name: str,
    num_frames: int,
    table_deg: dict[str, np.ndarray],
    rest_joints_m: np.ndarray,
) -> np.ndarray:
    """Draw the finger angles of a take's frames.

    Args:
        rng: Random stream of the take.
        pose_name: A gesture of the table, `TRANSITION` or `FREE`.
        num_frames: Number of frames (F).
        table_deg: Gesture name to (21,) angles.
        rest_joints_m: (21, 3) joints of the right rest hand, mano21 order.

    Returns:
        (F, 21) degrees: the first candidate without penetration, or the one with the least.
    """
    best, least = None, np.inf
    limit = _PENETRATION_LIMIT_M
    if pose_name in table_deg:  # a fist is deeper than the limit in the table itself
        limit = max(limit, 0.001 + penetration_m(table_deg[pose_name][None], rest_joints_m)[0])
    for _ in range(_ATTEMPTS):
        angles = _draw_candidate_deg(rng, pose_name, num_frames, table_deg)
        depth = penetration_m(angles, rest_joints_m).max()
        if depth < least:
            best, least = angles, depth
        if depth <= limit:
            break
    return best


def _draw_candidate_deg(rng, pose_name: str, num_frames: int, table_deg) -> np.ndarray:
    names = list(table_deg)
    if pose_name == FREE:
        keys, times = [_free_pose_deg(rng, table_deg) for _ in range(3)], [0.0, 0.5, 1.0]
    elif pose_name == TRANSITION:
        chosen = rng.choice(len(names), 3, replace=len(names) < 3)
        keys = [vary_angles_deg(table_deg[names[k]], rng) for k in chosen]
        times = [0.0, 0.5, 1.0]
    else:
        neutral = table_deg.get("neutral_relaxed", np.zeros(21))
        poses = [neutral, table_deg[pose_name], neutral]
        start, gesture, end = (vary_angles_deg(pose, rng) for pose in poses)
        keys = [start, gesture, gesture, end]
        times = [0.0, rng.uniform(0.12, 0.3), rng.uniform(0.7, 0.9), 1.0]
    return _interpolate(rng, np.stack(keys), np.array(times), num_frames)


def _interpolate(rng, keys_deg: np.ndarray, times: np.ndarray, num_frames: int) -> np.ndarray:
    """Interpolate keys (K, 21) to (F, 21) angles, each finger up to 4 % early or late."""
    moments = (np.arange(num_frames) + 0.5) / num_frames
    fingers = [slice(4 * k, 4 * k + 4) for k in range(4)] + [slice(16, 21)]
    angles = np.empty((num_frames, 21))
    for finger in fingers:
        shifted = np.clip(moments + rng.uniform(-0.04, 0.04), 0.0, 1.0)
        after = np.clip(np.searchsorted(times, shifted), 1, len(times) - 1)
        t = (shifted - times[after - 1]) / (times[after] - times[after - 1])
        eased = (t**3 * (10 - 15 * t + 6 * t**2))[:, None]  # least jerk
        low, high = keys_deg[after - 1, finger], keys_deg[after, finger]
        angles[:, finger] = low + eased * (high - low)
    return angles


def _free_pose_deg(rng: np.random.Generator, table_deg: dict[str, np.ndarray]) -> np.ndarray:
    """Draw (21,) angles: each finger from a random gesture, or uniformly within its limits."""
    rows = np.stack(list(table_deg.values()))
    angles = rows[rng.integers(len(rows), size=21)][np.arange(21), np.arange(21)]
    for k in range(4):
        finger = slice(4 * k, 4 * k + 4)
        if rng.uniform() < 0.5:
            angles[finger] = rows[rng.integers(len(rows)), finger]
            continue
        mcp, pip = rng.uniform(-15.0, 88.0), rng.uniform(0.0, 105.0)
        spread = rng.uniform(-14.0, 14.0) * (1 - 0.8 * max(mcp, 0.0) / 88)
        angles[finger] = mcp, pip, 0.6 * pip + rng.normal(0.0, 6.0), spread
    thumb = slice(16, 21)
    if rng.uniform() < 0.5:
        angles[thumb] = rows[rng.integers(len(rows)), thumb]
    else:
        angles[thumb] = rng.uniform(LOWER_DEG[thumb], UPPER_DEG[thumb])
    return vary_angles_deg(angles, rng)


def penetration_m(angles_deg: np.ndarray, rest_joints_m: np.ndarray) -> np.ndarray:
    """Compute the penetration depth between fingers, and between fingers and palm.

    Args:
        angles_deg: (B, 21) degrees.
        rest_joints_m: (21, 3) joints of the right rest hand, mano21 order.

    Returns:
        (B,) metres; negative where all are apart.
    """
    joints = _finger_joints_m(hand_pose_from_angles(angles_deg, rest_joints_m), rest_joints_m)
    along = _SAMPLES[:, None]
    joints[:, :, 3] += _ROUND_TIP * (joints[:, :, 2] - joints[:, :, 3])  # a tip lies on the skin
    bones = joints[:, :, :-1, None] + along * (joints[:, :, 1:, None] - joints[:, :, :-1, None])
    knuckles, wrist = rest_joints_m[[5, 9, 13, 17]], rest_joints_m[0]
    palm = (knuckles[:, None] + along * 0.8 * (wrist - knuckles)[:, None]).reshape(-1, 3)
    palm = np.broadcast_to(palm, (len(bones), *palm.shape))
    points = np.concatenate([bones.reshape(len(bones), -1, 3), palm], axis=1).astype(np.float32)
    apart = points[:, _FIRST] - points[:, _SECOND]
    distance = np.sqrt(np.einsum("bpk,bpk->bp", apart, apart))
    return (_REACH_M - distance).max(axis=1)


def _finger_joints_m(pose_rad: np.ndarray, rest_joints_m: np.ndarray) -> np.ndarray:
    """Return (B, 5, 4, 3) knuckle to tip of thumb to pinky, in the hand's own frame."""
    chains = []
    for finger, first in _FIRST_JOINT.items():
        slot = 3 * (MANO16_FIRST[finger] - 1)
        turn = np.broadcast_to(np.eye(3), (len(pose_rad), 3, 3))
        point = np.broadcast_to(rest_joints_m[first], (len(pose_rad), 3))
        chain = [point]
        for k in range(3):
            turn = turn @ rodrigues(pose_rad[:, slot + 3 * k : slot + 3 * k + 3])
            bone = rest_joints_m[first + k + 1] - rest_joints_m[first + k]
            point = point + turn @ bone
            chain.append(point)
        chains.append(np.stack(chain, axis=1))
    return np.stack(chains, axis=1)


def _tested_pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of capsule points that may not penetrate, and their summed radii, (P,)."""
    per_bone = len(_SAMPLES)
    finger, bone = (np.repeat(a, per_bone) for a in np.divmod(np.arange(15), 3))
    finger = np.concatenate([finger, np.full(4 * per_bone, 5)])  # 5 is the palm
    bone = np.concatenate([bone, np.full(4 * per_bone, -1)])
    radius = np.concatenate([np.repeat(_RADII_M.ravel(), per_bone), [_PALM_RADIUS_M] * 16])
    base = (finger == 0) & (bone == 0)  # the thumb's metacarpal lies in the palm
    near_palm = (bone == 0) | ((finger == 0) & (bone == 1))  # these bones begin at it
    tested = (finger[:, None] < finger) & ~base[:, None] & ~base
    tested &= ~(near_palm[:, None] & (finger == 5))
    first, second = np.nonzero(tested)
    return first, second, (radius[first] + radius[second]).astype(np.float32)


_FIRST, _SECOND, _REACH_M = _tested_pairs()
