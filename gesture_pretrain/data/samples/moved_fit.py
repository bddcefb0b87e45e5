"""MANO fits in the camera frame and the pixels of a crop."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from gesture_pretrain.data.index.record import HandRecord, ManoFit
from gesture_pretrain.geometry.axis_angle import mirror_pose, rodrigues, rotation_vector
from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.geometry.crop import apply_affine
from gesture_pretrain.hand.joints import HandJoints

_MIRROR = np.diag([-1.0, 1.0, 1.0])


class HandCrop(NamedTuple):
    """The crop of a hand, and its maps.

    Attributes:
        image: (3, S, S) uint8.
        affine: (2, 3) map from image pixels to crop pixels.
        rotation: (3, 3) map of camera-frame vectors to the frame of the crop; its determinant is -1
            if `flip`.
        flip: Whether the crop shows a mirror image.
        coarse, fine: Gesture classes of the crop, -1 for none.
    """

    image: Tensor
    affine: np.ndarray
    rotation: np.ndarray
    flip: bool
    coarse: int
    fine: int


class MovedFit(NamedTuple):
    """A MANO fit in the camera frame and the pixels of a crop, float64."""

    pose: np.ndarray  # (48,)
    shape: np.ndarray  # (10,)
    joints_rel_mm: np.ndarray  # (21, 3)
    keypoints_px: np.ndarray  # (21, 2)


def move_fits(
    records: Sequence[HandRecord], crops: Sequence[HandCrop], hands: Mapping[str, HandJoints]
) -> list[MovedFit | None]:
    """Transform the MANO fits of N single hands to the frames of their crops.

    With Q the crop's map of vectors, R the camera's rotation and M = diag(-1, 1, 1), the mesh of
    the fit becomes ``Q R mesh``. A mirrored mesh is the mesh of the other hand with every finger
    rotation mirrored, (x, -y, -z), and the root ``Q R root M``.

    Args:
        records: Images of one hand each, "right" or "left".
        crops: Crop of each image.
        hands: "right" and "left" to the joints of that hand model.

    Returns:
        N fits; None without a fit or a camera, or where part of the hand is behind the camera.
    """
    moved: list[MovedFit | None] = [None] * len(records)
    for side, hand in hands.items():
        fits = {
            i: fit
            for i, record in enumerate(records)
            if record.hand == side
            and record.princpt_px is not None
            and (fit := record.mano[side]) is not None
        }
        if fits:
            joints_mm = 1000 * hand.joints_m(*_stacked(fits.values()))
            roots = rodrigues([fit.pose[:3] for fit in fits.values()])
            for joints, root, (i, fit) in zip(joints_mm, roots, fits.items(), strict=True):
                moved[i] = _moved(fit, joints, root, records[i], crops[i])
    return moved


def _stacked(fits) -> tuple[np.ndarray, ...]:
    names = ("pose", "shape", "trans_m")
    return tuple(np.stack([getattr(fit, name) for fit in fits]) for name in names)


def _moved(
    fit: ManoFit, joints_world_mm: np.ndarray, root: np.ndarray, record: HandRecord, crop: HandCrop
) -> MovedFit | None:
    joints_cam_mm = world_to_camera_mm(joints_world_mm, record.R_cam_world, record.camera_center_mm)
    if not np.all(joints_cam_mm[:, 2] > 0):
        return None
    keypoints_px = project_px(joints_cam_mm, record.focal_px, record.princpt_px)
    turned = crop.rotation @ np.asarray(record.R_cam_world, np.float64) @ root
    fingers = fit.pose[3:]
    if crop.flip:
        turned, fingers = turned @ _MIRROR, mirror_pose(fingers)
    return MovedFit(
        pose=np.concatenate([rotation_vector(turned), fingers]),
        shape=fit.shape,
        joints_rel_mm=(joints_cam_mm - joints_cam_mm[0]) @ crop.rotation.T,
        keypoints_px=apply_affine(keypoints_px, crop.affine),
    )
