"""Gestures of the embedded dataset as finger angles, and their conversion to MANO poses.

A gesture is 21 angles in degrees: MCP, PIP, DIP flexion and abduction for index, middle, ring and
pinky, then azimuth, elevation and twist of the thumb's metacarpal and flexion of its MCP and IP.
Zero is a straight, flat hand. The table covers 45 gesture names; the folder names of InterHand2.6M
that carry them (one per hand) come from the shipped taxonomy.

Right-hand frame of the rest pose: fingers point to -x, the back of the hand to +y, the thumb to +z.
"""

import csv
import difflib
import re
from importlib import resources
from typing import NamedTuple

import numpy as np

from gesture_pretrain.geometry.axis_angle import rodrigues, rotation_vector

_FINGERS = ("index", "middle", "ring", "pinky")
ANGLE_NAMES = (
    *(f"{finger}_{angle}" for finger in _FINGERS for angle in ("mcp", "pip", "dip", "abd")),
    *(f"thumb_{angle}" for angle in ("azimuth", "elevation", "twist", "mcp", "ip")),
)
# Anatomical range of each angle, in the order of ANGLE_NAMES
LOWER_DEG = np.array([*(-25.0, -8.0, -5.0, -25.0) * 4, -18.0, -10.0, -25.0, -15.0, -30.0])
UPPER_DEG = np.array([*(95.0, 112.0, 80.0, 25.0) * 4, 90.0, 62.0, 60.0, 58.0, 78.0])

# First joint of each finger in mano16 order
MANO16_FIRST = {"index": 1, "middle": 4, "pinky": 7, "ring": 10, "thumb": 13}
# Folder names whose pose has another name: the left hand's wave mirrors the right hand's
_POSE_OF_NAME = {"relaxedwave": "palmdownwave"}


class GestureFolder(NamedTuple):
    """One gesture of one hand, as InterHand2.6M names its folder."""

    folder: str
    hand: str
    pose_name: str


def gesture_angles_deg() -> dict[str, np.ndarray]:
    """Load the bundled table: gesture name -> (21,) angles in degrees, in order ``ANGLE_NAMES``."""
    source = resources.files("gesture_pretrain") / "assets" / "gesture_poses.csv"
    with source.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {row["gesture"]: np.array([float(row[name]) for name in ANGLE_NAMES]) for row in rows}


def gesture_folders(gestures: list[str] | None = None) -> list[GestureFolder]:
    """Select folders of the InterHand2.6M taxonomy, with the pose that each shows.

    Args:
        gestures: Folder names (``"0016_fist"``) or gesture names for both hands (``"fist"``) to
            keep; None keeps all 90.

    Raises:
        ValueError: A name is neither.
    """
    source = resources.files("gesture_pretrain") / "taxonomy" / "interhand26m.csv"
    with source.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    folders = [_folder(row["label"], row["hand"]) for row in rows]
    if gestures is None:
        return folders
    names = {name for f in folders for name in (f.folder, _bare_name(f.folder))}
    unknown = sorted(set(gestures) - names)
    if unknown:
        near = sorted({n for u in unknown for n in difflib.get_close_matches(u, names)})
        raise ValueError(
            f"unknown gestures {unknown}; "
            + (f"did you mean {near}? " if near else "")
            + 'Give folder names such as "0016_fist", or names such as "fist" for both hands.'
        )
    return [f for f in folders if {f.folder, _bare_name(f.folder)} & set(gestures)]


def _folder(label: str, hand: str) -> GestureFolder:
    name = _bare_name(label)
    return GestureFolder(label, hand, _POSE_OF_NAME.get(name, name))


def _bare_name(folder: str) -> str:
    return re.sub(r"^\d+_", "", folder)


def vary_angles_deg(angles_deg: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary a gesture as between persons or repetitions.

    One curl factor for the whole hand, independent noise per joint in which PIP and DIP move
    together, a common spread of the fingers; clipped to the anatomical range.

    Args:
        angles_deg: (21,) degrees.
        rng: The random stream.

    Returns:
        (21,) degrees.
    """
    fingers = angles_deg[:16].reshape(4, 4).copy()
    fingers[:, :3] *= 1.0 + rng.normal(0.0, 0.05)
    pip_noise = rng.normal(0.0, 5.0, 4)
    fingers[:, 0] += rng.normal(0.0, 4.0, 4)
    fingers[:, 1] += pip_noise
    fingers[:, 2] += 0.5 * pip_noise + rng.normal(0.0, 2.5, 4)
    spread = rng.normal(0.0, 2.0) * np.array([14.0, 1.0, -9.0, -16.0]) / 14.0
    fingers[:, 3] += spread + rng.normal(0.0, 1.2, 4)
    thumb = angles_deg[16:] + rng.normal(0.0, [4.0, 4.0, 4.0, 5.0, 6.0])
    return np.clip(np.concatenate([fingers.ravel(), thumb]), LOWER_DEG, UPPER_DEG)


def hand_pose_from_angles(angles_deg: np.ndarray, rest_joints_m: np.ndarray) -> np.ndarray:
    """Convert angles to an axis-angle pose of the right hand, MANO's mean pose not subtracted.

    Args:
        angles_deg: (B, 21) degrees.
        rest_joints_m: (21, 3) joints of the *right* rest hand, mano21 order, metres.

    Returns:
        (B, 45) radians, joints in MANO's order (index, middle, pinky, ring, thumb).
    """
    angles = np.deg2rad(np.asarray(angles_deg, dtype=np.float64))
    pose = np.zeros((len(angles), 15, 3))
    for column, finger in enumerate(_FINGERS):
        first = 5 + 4 * column  # mano21: the finger's base knuckle
        direction = _unit(rest_joints_m[first + 1] - rest_joints_m[first])
        slot = MANO16_FIRST[finger] - 1
        pose[:, slot : slot + 3] = _finger_pose(angles[:, 4 * column : 4 * column + 4], direction)
    slot = MANO16_FIRST["thumb"] - 1
    direction = _unit(rest_joints_m[2] - rest_joints_m[1])
    pose[:, slot : slot + 3] = _thumb_pose(angles[:, 16:], direction)
    return pose.reshape(len(angles), 45)


def _finger_pose(angles_rad: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return (B, 3, 3) rotation vectors of MCP, PIP, DIP from (B, 4) flexions and abduction."""
    axis = _unit(np.cross(direction, [0.0, -1.0, 0.0]))
    abduction = rodrigues(angles_rad[:, 3:4] * np.array([0.0, 1.0, 0.0]))
    mcp = rotation_vector(abduction @ rodrigues(angles_rad[:, 0:1] * axis))
    return np.stack([mcp, angles_rad[:, 1:2] * axis, angles_rad[:, 2:3] * axis], axis=1)


def _thumb_pose(angles_rad: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return (B, 3, 3) rotation vectors of CMC, MCP, IP from (B, 5) thumb angles."""
    azimuth, elevation, twist, mcp, ip = angles_rad.T
    goal = np.stack(
        [
            -np.cos(azimuth) * np.cos(elevation),
            -np.sin(elevation),
            np.sin(azimuth) * np.cos(elevation),
        ],
        axis=-1,
    )
    cmc = rotation_vector(_align(direction, goal) @ rodrigues(twist[:, None] * direction))
    up = np.ones(3) - direction * direction.sum()
    axis = _unit(np.cross(direction, -_unit(up)))
    return np.stack([cmc, mcp[:, None] * axis, ip[:, None] * axis], axis=1)


def _align(start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return the smallest rotation (B, 3, 3) from the unit vector ``start`` to each ``goal``."""
    axis = np.cross(start, goal)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (goal @ start)[..., None])
    return rodrigues(axis / np.maximum(sine, 1e-12) * angle)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)
