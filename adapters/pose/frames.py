"""From the frame of a crop back to the camera of the stored image."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapters.pose.model import HandPrediction
from gesture_pretrain.evaluation.poses.mesh_parameters import MIRROR_X
from gesture_pretrain.geometry.axis_angle import rodrigues, rotation_vector

# A crop is stretched alike in both directions; its map is float32, numbers up to 1e3 px.
_STRETCH_TOLERANCE = 1e-3


class CameraPrediction(NamedTuple):
    """Hands of B images, camera frame and pixels of the stored image, not mirrored or turned.

    Attributes:
        rows: (B,) int64 rows of the index.
        hand: (B,) int64, 0 right, 1 left.
        joints_rel_mm: (B, 21, 3) float32, minus the wrist.
        vertices_rel_mm: (B, 778, 3) float32, minus the same wrist.
        keypoints_image_px: (B, 21, 2) float32.
        joint_depth_rel_mm: (B, 21) float32.
        mano_pose: (B, 48) float32 axis-angle, rad, minus the mean pose.
        mano_shape: (B, 10) float32.
        mirrored: (B,) bool: the parameters pose the other hand, whose mesh is then mirrored about
            x = 0.
    """

    rows: np.ndarray
    hand: np.ndarray
    joints_rel_mm: np.ndarray
    vertices_rel_mm: np.ndarray
    keypoints_image_px: np.ndarray
    joint_depth_rel_mm: np.ndarray
    mano_pose: np.ndarray
    mano_shape: np.ndarray
    mirrored: np.ndarray


def to_camera_frame(prediction: HandPrediction, batch: Any) -> CameraPrediction:
    """Undoes what the crops did: mirror, turn, scale and shift.

    Args:
        prediction: B hands in the frame of their crops.
        batch: what they were predicted from: `row` (B,) and `image_from_crop` (B, 2, 3).

    Raises:
        ValueError: a crop that is not turned and scaled only, so that depth means nothing in it.
    """
    image_from_crop = batch.image_from_crop.detach().cpu().double()
    linear = image_from_crop[:, :, :2]
    camera_from_crop = _rotation(linear)
    mirrored = torch.linalg.det(linear) < 0
    hand = prediction.hand.cpu()
    keypoints_px = prediction.keypoints_px.detach().cpu().double()
    moved_px = keypoints_px @ linear.mT + image_from_crop[:, None, :, 2]
    return CameraPrediction(
        rows=torch.as_tensor(batch.row).cpu().numpy().astype(np.int64),
        hand=torch.where(mirrored, 1 - hand, hand).numpy(),
        joints_rel_mm=_turned(prediction.joints_rel_mm, camera_from_crop),
        vertices_rel_mm=_turned(prediction.vertices_rel_mm, camera_from_crop),
        keypoints_image_px=moved_px.float().numpy(),
        joint_depth_rel_mm=_plain(prediction.joint_depth_rel_mm),
        mano_pose=_turned_pose(_plain(prediction.mano_pose), camera_from_crop.numpy(), mirrored),
        mano_shape=_plain(prediction.mano_shape),
        mirrored=mirrored.numpy(),
    )


def _rotation(linear: Tensor) -> Tensor:
    """(B, 3, 3) map of camera-frame vectors that belongs to a map of pixels (B, 2, 2)."""
    scale = torch.linalg.det(linear).abs().sqrt()
    turn = linear / scale[:, None, None]
    identity = torch.eye(2, dtype=turn.dtype)
    if not bool(((turn @ turn.mT - identity).abs() < _STRETCH_TOLERANCE).all()):
        raise ValueError(
            "image_from_crop stretches x and y differently (or is singular); poses are predicted "
            "from crops that are square in the picture"
        )
    rotation = torch.zeros(len(turn), 3, 3, dtype=turn.dtype)
    rotation[:, :2, :2], rotation[:, 2, 2] = turn, 1
    return rotation


def _turned(points: Tensor, rotation: Tensor) -> np.ndarray:
    return (points.detach().cpu().double() @ rotation.mT).float().numpy()


def _turned_pose(pose: np.ndarray, camera_from_crop: np.ndarray, mirrored: Tensor) -> np.ndarray:
    """(B, 48) with the root in the camera frame, before the mirror image where there is one."""
    unmirrored = np.where(
        mirrored[:, None, None], np.diag(MIRROR_X) @ camera_from_crop, camera_from_crop
    )
    root = rotation_vector(unmirrored @ rodrigues(pose[:, :3]))
    return np.concatenate([root.astype(np.float32), pose[:, 3:]], axis=1)


def _plain(values: Tensor) -> np.ndarray:
    return values.detach().cpu().float().numpy()
