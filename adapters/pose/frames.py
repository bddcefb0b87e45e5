"""Transform predictions from the frame of a crop to the camera of the stored image."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapters.pose.model import HandPrediction
from gesture_pretrain.evaluation.poses.mesh_parameters import MIRROR_X
from gesture_pretrain.geometry.axis_angle import rodrigues, rotation_vector

# Crops are scaled equally in x and y. Their maps are float32, with values up to 1e3 px.
_STRETCH_TOLERANCE = 1e-3


class CameraPrediction(NamedTuple):
    """Hands of B images, camera frame and pixels of the stored image, neither mirrored nor rotated.

    Attributes:
        rows: (B,) int64 rows of the index.
        hand: (B,) int64, 0 right, 1 left.
        joints_rel_mm: (B, 21, 3) float32, minus the wrist.
        vertices_rel_mm: (B, 778, 3) float32, minus the same wrist, or None.
        keypoints_image_px: (B, 21, 2) float32, or None.
        joint_depth_rel_mm: (B, 21) float32, or None.
        mano_pose: (B, 48) float32 axis-angle, rad, minus the mean pose, or None.
        mano_shape: (B, 10) float32, or None.
        mirrored: (B,) bool: the parameters pose the other hand, whose mesh is then mirrored about
            x = 0.
    """

    rows: np.ndarray
    hand: np.ndarray
    joints_rel_mm: np.ndarray
    vertices_rel_mm: np.ndarray | None
    keypoints_image_px: np.ndarray | None
    joint_depth_rel_mm: np.ndarray | None
    mano_pose: np.ndarray | None
    mano_shape: np.ndarray | None
    mirrored: np.ndarray


def to_camera_frame(prediction: HandPrediction, batch: Any) -> CameraPrediction:
    """Undo the crops: mirroring, rotation, scale and shift.

    Args:
        prediction: B hands in the frame of their crops.
        batch: Their crops: `row` (B,), `image_from_crop` (B, 2, 3) and, unless crops have the axes
            of their images, `camera_from_crop` (B, 3, 3).

    Raises:
        ValueError: A crop is stretched, so depth is undefined in it.
    """
    image_from_crop = batch.image_from_crop.detach().cpu().double()
    linear = image_from_crop[:, :, :2]
    camera_from_crop = _rotation(linear)  # also refuses crops that are stretched
    if hasattr(batch, "camera_from_crop"):
        camera_from_crop = batch.camera_from_crop.detach().cpu().double()
    mirrored = torch.linalg.det(linear) < 0
    hand = prediction.hand.cpu()
    return CameraPrediction(
        rows=torch.as_tensor(batch.row).cpu().numpy().astype(np.int64),
        hand=torch.where(mirrored, 1 - hand, hand).numpy(),
        joints_rel_mm=_moved(prediction.joints_rel_mm, camera_from_crop),
        vertices_rel_mm=_moved(prediction.vertices_rel_mm, camera_from_crop),
        keypoints_image_px=_moved(prediction.keypoints_px, linear, image_from_crop[:, None, :, 2]),
        joint_depth_rel_mm=_depth_of_camera(prediction, camera_from_crop),
        mano_pose=_rotated_pose(
            _moved(prediction.mano_pose, None), camera_from_crop.numpy(), mirrored.numpy()
        ),
        mano_shape=_moved(prediction.mano_shape, None),
        mirrored=mirrored.numpy(),
    )


def _depth_of_camera(prediction: HandPrediction, camera_from_crop: Tensor) -> np.ndarray | None:
    """Return depths (B, 21) along the camera's axis, with x and y of the joints in the crop."""
    if prediction.joint_depth_rel_mm is None:
        return None
    joints = prediction.joints_rel_mm.clone()
    joints[..., 2] = prediction.joint_depth_rel_mm
    return _moved(joints, camera_from_crop)[..., 2]


def _rotation(linear: Tensor) -> Tensor:
    """Return (B, 3, 3) maps of camera-frame vectors for maps of pixels (B, 2, 2)."""
    scale = torch.linalg.det(linear).abs().sqrt()
    rotation_2d = linear / scale[:, None, None]
    identity = torch.eye(2, dtype=rotation_2d.dtype)
    if not bool(((rotation_2d @ rotation_2d.mT - identity).abs() < _STRETCH_TOLERANCE).all()):
        raise ValueError(
            "image_from_crop stretches x and y differently (or is singular); poses are predicted "
            "from crops that are square in the image"
        )
    rotation = torch.zeros(len(rotation_2d), 3, 3, dtype=rotation_2d.dtype)
    rotation[:, :2, :2], rotation[:, 2, 2] = rotation_2d, 1
    return rotation


def _rotated_pose(
    pose: np.ndarray | None, camera_from_crop: np.ndarray, mirrored: np.ndarray
) -> np.ndarray | None:
    """Return (B, 48) poses with the root in the camera frame, left hands mirrored back."""
    if pose is None:
        return None
    unmirrored = np.where(
        mirrored[:, None, None], np.diag(MIRROR_X) @ camera_from_crop, camera_from_crop
    )
    root = rotation_vector(unmirrored @ rodrigues(pose[:, :3]))
    return np.concatenate([root.astype(np.float32), pose[:, 3:]], axis=1)


def _moved(
    points: Tensor | None, linear: Tensor | None, offset: Tensor | float = 0.0
) -> np.ndarray | None:
    """Map points (B, N, K) by (B, K, K), float32. Without a map or points, return them as is."""
    if points is None:
        return None
    moved = points.detach().cpu().double()
    if linear is not None:
        moved = moved @ linear.mT + offset
    return moved.float().numpy()
