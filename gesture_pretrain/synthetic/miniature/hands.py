"""The hands of a recording: fits and joints of every frame, in the world frame."""

from typing import NamedTuple

import numpy as np

from gesture_pretrain.geometry.axis_angle import mirror_pose, rodrigues, rotation_vector
from gesture_pretrain.hand.bundled_hands import BundledHands
from gesture_pretrain.synthetic.gestures import gesture_angles_deg, hand_pose_from_angles
from gesture_pretrain.synthetic.miniature.recordings import Recording

TIP_CONVENTION = "interhand"

_JOINT_NOISE_MM = 1.5  # the joints were triangulated, not made by the fits
_HALF_DISTANCE_M = 0.045  # of two hands from the middle


class PosedHands(NamedTuple):
    """One hand in the F frames of a recording.

    Attributes:
        fit: Pose (F, 48) in radians without the mean pose, shape (F, 10), trans (F, 3) in metres.
        vertices_mm: (F, 778, 3), world frame.
        joints_mm: (F, 21, 3), world frame, mano21 order.
    """

    fit: dict[str, np.ndarray]
    vertices_mm: np.ndarray
    joints_mm: np.ndarray


class HandPoser:
    """Pose the bundled hand models along recordings."""

    def __init__(self):
        self.bundled = BundledHands(TIP_CONVENTION)
        self.angles_deg = gesture_angles_deg()

    def posed(self, rng: np.random.Generator, recording: Recording) -> dict[str, PosedHands]:
        """Pose each hand of a recording in all of its frames."""
        start, end = (self.angles_deg[name] for name in recording.poses)
        amount = np.array(recording.amount)[:, None]
        angles = start + amount * (end - start) + rng.normal(0, 2, (len(amount), 21))
        right = hand_pose_from_angles(angles, self.bundled.rest_joints_m)
        person = np.random.default_rng(recording.subject).normal(0, 0.8, 10)
        shape = person + rng.normal(0, 0.1, (len(amount), 10))  # fits vary from frame to frame
        return {hand: self._placed(rng, recording, hand, right, shape) for hand in recording.hands}

    def _placed(self, rng, recording: Recording, hand: str, right, shape) -> PosedHands:
        fingers = right if hand == "right" else mirror_pose(right)
        fingers = fingers - self.bundled.mean_pose(hand)
        pose = np.concatenate([_root_rotations(rng, len(fingers)), fingers], axis=1)
        pose, shape = pose.astype(np.float32), shape.astype(np.float32)
        vertices, joints = self.bundled.posed(hand, pose, shape)
        side = {"right": -1.0, "left": 1.0}[hand] if len(recording.hands) == 2 else 0.0
        goal = rng.normal(0, 0.008, (len(pose), 3)) + [side * _HALF_DISTANCE_M, 0, 0]
        trans = (goal - (vertices.min(axis=1) + vertices.max(axis=1)) / 2).astype(np.float32)
        joints_mm = 1000.0 * (joints + trans[:, None])
        return PosedHands(
            {"pose": pose, "shape": shape, "trans": trans},
            1000.0 * (vertices + trans[:, None]),
            joints_mm + rng.normal(0, _JOINT_NOISE_MM, joints_mm.shape),
        )


def _root_rotations(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Return (F, 3) a random orientation that changes slowly."""
    axis, drift = rng.normal(size=(2, 3))
    first = rodrigues(rng.uniform(0, np.pi) * axis / np.linalg.norm(axis))
    drift /= np.linalg.norm(drift)
    return np.stack([rotation_vector(rodrigues(0.08 * k * drift) @ first) for k in range(frames)])
