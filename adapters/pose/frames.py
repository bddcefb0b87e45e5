"""From the frame of a crop back to the camera of the stored image."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapters.pose.model import HandPrediction

# A crop is stretched alike in both directions; its map is float32, numbers up to 1e3 px.
_STRETCH_TOLERANCE = 1e-3


class CameraPrediction(NamedTuple):
    """Hands of B images, camera frame and pixels of the stored image, not mirrored or turned.

    Attributes:
        rows: (B,) int64 rows of the index.
        hand: (B,) int64, 0 right, 1 left.
        joints_rel_mm: (B, 21, 3) float32, minus the wrist.
        vertices_rel_mm: (B, 778, 3) float32, minus the same wrist, or None.
        keypoints_image_px: (B, 21, 2) float32, or None.
        joint_depth_rel_mm: (B, 21) float32, or None.
    """

    rows: np.ndarray
    hand: np.ndarray
    joints_rel_mm: np.ndarray
    vertices_rel_mm: np.ndarray | None
    keypoints_image_px: np.ndarray | None
    joint_depth_rel_mm: np.ndarray | None


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
    return CameraPrediction(
        rows=torch.as_tensor(batch.row).cpu().numpy().astype(np.int64),
        hand=torch.where(mirrored, 1 - hand, hand).numpy(),
        joints_rel_mm=_turned(prediction.joints_rel_mm, camera_from_crop),
        vertices_rel_mm=_turned(prediction.vertices_rel_mm, camera_from_crop),
        keypoints_image_px=_turned(prediction.keypoints_px, linear, image_from_crop[:, None, :, 2]),
        joint_depth_rel_mm=_turned(prediction.joint_depth_rel_mm, None),
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


def _turned(
    points: Tensor | None, linear: Tensor | None, offset: Tensor | float = 0.0
) -> np.ndarray | None:
    """Points (B, N, K) mapped by (B, K, K), float32; as they are without a map; None stays None."""
    if points is None:
        return None
    moved = points.detach().cpu().double()
    if linear is not None:
        moved = moved @ linear.mT + offset
    return moved.float().numpy()
