"""A rig of calibrated cameras, and hands placed among them.

World frame: metres here (millimetres in the files), origin where the cameras look, y up. Hand
frame: that of the rest pose, in which the right hand's fingers point to -x (the left's to +x) and
the back of either hand to +y.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gesture_pretrain.geometry.axis_angle import rodrigues, rotation_vector

_ARM_CONE_COSINE = np.cos(np.deg2rad(35.0))  # cameras nearer to the arm's axis see mostly arm
_ATTEMPTS = 400


class Camera(NamedTuple):
    """A calibrated pinhole camera; every number is a float32 value, as in the files."""

    name: str
    R_cam_world: np.ndarray  # (3, 3)
    center_mm: np.ndarray  # (3,) world
    focal_px: np.ndarray  # (2,)
    princpt_px: np.ndarray  # (2,)


# Sign of y in the hand's frame towards the camera: the back of the hand is +y, the palm -y
_SIDES = {"palm": [-1.0], "back": [1.0], "both": [-1.0, 1.0]}


class ViewLimits(NamedTuple):
    """Limits of the cameras' views of the hand; None for no limit."""

    view_limit_deg: float | None  # largest angle between view direction and palm or back normal
    roll_limit_deg: float | None  # largest angle between the fingers and "up" in the image
    view_side: str = "both"  # a key of _SIDES: which side of the hand a limited view looks at


@dataclass(frozen=True)
class PosedHand:
    """A hand before it is placed in the world: zero global rotation and translation."""

    hand: str
    vertices_m: np.ndarray  # (778, 3)
    joints_m: np.ndarray  # (21, 3) mano21


class Placement(NamedTuple):
    """Global rotation and translation in MANO's sense: ``v = R (v0 - J0) + J0 + trans``."""

    rotation_vector: np.ndarray  # (3,) float32
    trans_m: np.ndarray  # (3,) float32

    def move(self, points_m: np.ndarray, wrist_m: np.ndarray) -> np.ndarray:
        """Map points (N, 3) of the unplaced hand with its wrist (3,) to the world frame, m."""
        rotation = rodrigues(self.rotation_vector)
        return (points_m - wrist_m) @ rotation.T + wrist_m + np.asarray(self.trans_m, np.float64)

    def undo_rotation(self, points_m: np.ndarray) -> np.ndarray:
        """Map world points (N, 3) to a frame that moves with the hand, up to its origin."""
        return (points_m - self.trans_m) @ rodrigues(self.rotation_vector)


class Lens(NamedTuple):
    """View of a camera, except for its direction.

    The distance of the camera from the origin is ``focal * shown_m * distance_factor``.
    """

    focal: float  # focal length over the side of the image
    shown_m: float  # side of what the image shows at the origin
    distance_factor: float
    aim_m: np.ndarray  # (3,) world point at which the optical axis is directed
    recentred: bool = False  # shift the image so that the origin is near its middle again
    shift: np.ndarray | float = 0.0  # (2,) further shift, as a fraction of the side


def draw_studio_lens(rng: np.random.Generator) -> Lens:
    """Draw edition 1: longer lenses are further away, and every camera aims at the hand."""
    return Lens(rng.uniform(1.5, 5.0), 0.26, rng.uniform(0.8, 1.25), rng.normal(0.0, 0.006, 3))


def draw_any_lens(rng: np.random.Generator) -> Lens:
    """Draw edition 2: wide angle to telephoto, distant to truncated hands, off the axis.

    The image is a part of a larger one with its centre elsewhere, as a crop of a photograph is.
    """
    focal = np.exp(rng.uniform(np.log(0.9), np.log(6.0)))
    shown_m = np.exp(rng.uniform(np.log(0.17), np.log(0.44)))
    distance_m = max(focal * shown_m, 0.26)
    aim_m = distance_m * rng.normal(0.0, np.tan(np.deg2rad(6.0)), 3)
    shift = rng.normal(0.0, 0.10, 2)
    return Lens(focal, shown_m, distance_m / (focal * shown_m), aim_m, True, shift)


def make_rig(
    rng: np.random.Generator,
    *,
    size_px: int,
    num_cameras: int,
    max_elevation_deg: float,
    draw_lens: Callable[[np.random.Generator], Lens] = draw_studio_lens,
) -> list[Camera]:
    """Make cameras around the origin, upright within a few degrees, each with its own lens."""
    names = np.sort(rng.choice(np.arange(400002, 401000), num_cameras, replace=False))
    index = np.arange(num_cameras)
    top = np.sin(np.deg2rad(max_elevation_deg))
    share = (index + rng.uniform(0.2, 0.8, num_cameras)) / num_cameras
    height = top * (1 - 2 * share)
    turn = rng.uniform(0, 2 * np.pi) + index * np.pi * (3 - np.sqrt(5)) + rng.normal(0, 0.1)
    radius = np.sqrt(1 - np.square(height))
    directions = np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], axis=-1)
    return [
        _camera(rng, str(name), direction, size_px, draw_lens)
        for name, direction in zip(names, directions, strict=True)
    ]


def _camera(rng, name: str, direction: np.ndarray, size_px: int, draw_lens) -> Camera:
    lens = draw_lens(rng)
    center_m = direction * lens.focal * lens.shown_m * lens.distance_factor
    forward = _unit(lens.aim_m - center_m)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    if np.linalg.norm(right) < 1e-6:  # straight from above or below: any sideways will do
        right = np.array([1.0, 0.0, 0.0])
    right = _unit(right)
    upright = np.stack([right, np.cross(forward, right), forward])
    rotation = rodrigues([0.0, 0.0, rng.normal(0.0, np.deg2rad(6.0))]) @ upright
    focal_px = lens.focal * size_px * (1 + rng.normal(0, 0.0004, 2))
    princpt_px = size_px / 2 + rng.normal(0, 0.01 * size_px, 2) + size_px * lens.shift
    if lens.recentred:
        x, y, z = rotation @ -center_m
        princpt_px = princpt_px - focal_px * [x / z, y / z]
    return Camera(
        name=name,
        R_cam_world=rotation.astype(np.float32),
        center_mm=(1000 * center_m).astype(np.float32),
        focal_px=focal_px.astype(np.float32),
        princpt_px=princpt_px.astype(np.float32),
    )


def draw_placement(
    rng: np.random.Generator,
    hand: PosedHand,
    cameras: list[Camera],
    limits: ViewLimits,
    num_views: int,
    R_world_hand: np.ndarray | None = None,
) -> tuple[Placement, list[int]]:
    """Draw a placement of the hand, and at least ``num_views`` cameras that may see it.

    Args:
        rng: The random stream.
        hand: The hand before placement.
        cameras: The rig.
        limits: Limits of the views.
        num_views: Number of cameras required.
        R_world_hand: Rotation to try first; None draws all of them.

    Raises:
        ValueError: The limits leave too few cameras in all of many attempts.
    """
    offset_m = rng.normal(0.0, 0.012, 3)
    toward = _unit(np.stack([c.center_mm for c in cameras]) / 1000 - offset_m)
    for attempt in range(_ATTEMPTS):
        if attempt or R_world_hand is None:
            R_world_hand = draw_rotation(rng, hand.hand, cameras, limits)
        allowed = np.flatnonzero(_allowed(R_world_hand, hand.hand, cameras, toward, limits))
        if len(allowed) >= num_views:
            return _place(hand, R_world_hand, offset_m), list(rng.permutation(allowed))
    raise ValueError(
        f"no hand orientation found that {num_views} cameras of {len(cameras)} see within "
        f"{limits}; use fewer cameras_per_frame or a wider limit"
    )


def draw_rotation(rng, hand: str, cameras: list[Camera], limits: ViewLimits) -> np.ndarray:
    """Draw R_world_hand uniformly, or within the limits of a random camera."""
    if limits.view_limit_deg is None and limits.roll_limit_deg is None:
        return random_rotation(rng)
    camera = cameras[rng.integers(len(cameras))]
    limit = 90.0 if limits.view_limit_deg is None else limits.view_limit_deg
    cosine = rng.uniform(np.cos(np.deg2rad(limit)), 1.0)
    around, side = rng.uniform(0, 2 * np.pi), rng.choice(_SIDES[limits.view_side])
    sine = np.sqrt(1 - cosine * cosine)
    toward = np.array([sine * np.cos(around), side * cosine, sine * np.sin(around)])
    fingers = np.array([-1.0 if hand == "right" else 1.0, 0.0, 0.0])
    up = _unit(fingers - (fingers @ toward) * toward)
    upright = np.stack([np.cross(-up, -toward), -up, -toward])  # camera's x right, y down, z away
    roll = 180.0 if limits.roll_limit_deg is None else limits.roll_limit_deg
    R_cam_hand = rodrigues([0.0, 0.0, np.deg2rad(rng.uniform(-roll, roll))]) @ upright
    return camera.R_cam_world.T.astype(np.float64) @ R_cam_hand


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Draw a rotation (3, 3) uniformly."""
    w, *axis = _unit(rng.normal(size=4))
    return rodrigues(2 * np.arctan2(np.linalg.norm(axis), w) * _unit(np.array(axis)))


def _allowed(R_world_hand, hand: str, cameras, toward, limits: ViewLimits) -> np.ndarray:
    """Return (N,) bool: cameras within the limits and not looking along the forearm."""
    toward_hand = toward @ R_world_hand
    arm = np.array([1.0 if hand == "right" else -1.0, 0.0, 0.0])
    allowed = toward_hand @ arm < _ARM_CONE_COSINE
    if limits.view_limit_deg is not None:
        facing = np.outer(toward_hand[:, 1], _SIDES[limits.view_side]).max(axis=1)
        allowed &= facing >= np.cos(np.deg2rad(limits.view_limit_deg)) - 1e-6
    if limits.roll_limit_deg is not None:
        fingers_cam = np.stack([c.R_cam_world for c in cameras]) @ (R_world_hand @ -arm)
        roll = np.arctan2(fingers_cam[:, 0], -fingers_cam[:, 1])
        allowed &= np.abs(roll) <= np.deg2rad(limits.roll_limit_deg) + 1e-6
    return allowed


def _place(hand: PosedHand, R_world_hand: np.ndarray, offset_m: np.ndarray) -> Placement:
    wrist = hand.joints_m[0]
    middle = (hand.vertices_m.min(axis=0) + hand.vertices_m.max(axis=0)) / 2
    trans = offset_m - R_world_hand @ (middle - wrist) - wrist
    turn = rotation_vector(R_world_hand)
    return Placement(turn.astype(np.float32), trans.astype(np.float32))


def _unit(vectors: np.ndarray) -> np.ndarray:
    squared = np.einsum("...k,...k->...", vectors, vectors)[..., None]
    return vectors / np.sqrt(np.maximum(squared, 1e-20))
