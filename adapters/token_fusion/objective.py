"""The training objective of section 3.2.4, one function per term.

Each term is a mean of absolute errors over the coordinates that are valid in the whole batch (over
the processes together, in distributed training, and over all parts of an accumulated step): a
missing fit or joint adds exactly nothing to loss and gradient, whatever its place in the batch
holds, NaN included. The paper names the terms and gives six weights without values; those of
`Weights` are our assumption, and so is the form of the structural term.

Letters: B batch, J = 21 joints.
"""

import math
from typing import NamedTuple

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from adapters.token_fusion.camera import (
    back_project_mm,
    project_px,
    project_weak_perspective_px,
)
from adapters.token_fusion.grid import VolumeGrid
from gesture_pretrain.schema import section
from gesture_pretrain.training.step_mean import step_mean_count

FINGER_LIMIT_DEG = 120.0  # no finger joint of a healthy hand flexes further


@section
class Weights:
    """The weights of the objective.

    Attributes:
        pose: 6D rotations.
        shape: Shape coefficients.
        joints_3d: 3D joints in metres, of the 2.5D prediction and of MANO.
        joints_25d: 2.5D joints in cells.
        joints_2d: 2D joints in cells, of the 2.5D prediction and of MANO.
        structure: Bone continuity.
        limits: Joint limits; see `limit_term`. Not part of the paper's objective, hence 0.

    Reprojection is blind to a reflection in depth. With joints_2d at 1 eight samples
    could not be overfitted: the rotations stayed in the reflected pose, 54 to 64 mm off.
    """

    pose: NonNegativeFloat = 1.0
    shape: NonNegativeFloat = 1.0
    joints_3d: NonNegativeFloat = 10.0
    joints_25d: NonNegativeFloat = 1.0
    joints_2d: NonNegativeFloat = 0.2
    structure: NonNegativeFloat = 0.1
    limits: NonNegativeFloat = 0.0


class PoseTargets(NamedTuple):
    """Targets of the terms, built by `targets.pose_targets`.

    Values that are not valid are finite and arbitrary.

    Attributes:
        joints_cells: `(B, 21, 3)`, annotated joints in the volume.
        joints_cells_valid: `(B, 21, 3)` bool, per axis: in view, and within the volume.
        joints_cam_mm: `(B, 21, 3)`, annotated joints before the camera, frame of the crop.
        joints_cam_valid: `(B, 21)` bool, within the volume, with camera and root depth.
        pose_6d: `(B, 16, 6)` of the fit, mean pose included.
        shape: `(B, 10)` of the fit.
        hand_joints_rel_mm: `(B, 21, 3)`, targets of MANO's joints: the joints of the
            fit minus its wrist, or the annotated ones of a sample without a fit.
        hand_keypoints_px: `(B, 21, 2)`, the same joints in crop pixels.
        hand_joints_valid: `(B, 21)` bool, of the two fields above.
        mano_valid: `(B,)` bool, there is a fit.
        wrist_depth_mm: `(B,)`, root depth.
        camera: `(B, 3, 3)`, see `camera`.
        has_camera: `(B,)` bool, camera and root depth are known.
    """

    joints_cells: Tensor
    joints_cells_valid: Tensor
    joints_cam_mm: Tensor
    joints_cam_valid: Tensor
    pose_6d: Tensor
    shape: Tensor
    hand_joints_rel_mm: Tensor
    hand_keypoints_px: Tensor
    hand_joints_valid: Tensor
    mano_valid: Tensor
    wrist_depth_mm: Tensor
    camera: Tensor
    has_camera: Tensor


def valid_l1(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute error over valid entries; 0 with zero gradient without any.

    Args:
        predicted, target: `(B, ...)`.
        valid: bool, the leading axes of `predicted`, or all of them.
    """
    valid = valid.reshape(valid.shape + (1,) * (predicted.ndim - valid.ndim))
    valid = valid.expand_as(predicted)
    # an entry that is not valid is compared with itself: no error, no gradient, no NaN
    error = predicted - torch.where(valid, target.to(predicted.dtype), predicted.detach())
    return error.abs().sum() / step_mean_count(valid.sum()).to(predicted.dtype)


def pose_term(pose_6d: Tensor, targets: PoseTargets) -> Tensor:
    """L1 on the 6D rotations `(B, 16, 6)` of samples with a fit."""
    return valid_l1(pose_6d, targets.pose_6d, targets.mano_valid)


def shape_term(shape: Tensor, targets: PoseTargets) -> Tensor:
    """L1 on the shape coefficients `(B, 10)` of samples with a fit."""
    return valid_l1(shape, targets.shape, targets.mano_valid)


def joints_3d_term(
    joints_cells: Tensor, targets: PoseTargets, grid: VolumeGrid, size_px: int
) -> Tensor:
    """L1, metres, on the 2.5D joints `(B, 21, 3)` back-projected with intrinsics and root depth."""
    pixels = grid.px_from_cells(joints_cells[..., :2], size_px)
    depth = grid.depth_from_cells(joints_cells[..., 2]) + targets.wrist_depth_mm[:, None]
    joints_cam_mm = back_project_mm(pixels, depth, targets.camera)
    return valid_l1(joints_cam_mm / 1000, targets.joints_cam_mm / 1000, targets.joints_cam_valid)


def mano_joints_3d_term(mano_joints_rel_mm: Tensor, targets: PoseTargets) -> Tensor:
    """L1, metres, on MANO's joints `(B, 21, 3)` minus its wrist, against fit or annotation."""
    return valid_l1(
        mano_joints_rel_mm / 1000, targets.hand_joints_rel_mm / 1000, targets.hand_joints_valid
    )


def joints_25d_term(joints_cells: Tensor, targets: PoseTargets) -> Tensor:
    """L1, cells, on the 2.5D joints `(B, 21, 3)`; each axis counts where it is in the volume."""
    return valid_l1(joints_cells, targets.joints_cells, targets.joints_cells_valid)


def joints_2d_term(joints_cells: Tensor, targets: PoseTargets) -> Tensor:
    """L1, cells, on the projection of the 2.5D joints `(B, 21, 3)`.

    Projecting what was back-projected with the same camera gives x and y again, so no camera is
    needed.
    """
    return valid_l1(
        joints_cells[..., :2], targets.joints_cells[..., :2], targets.joints_cells_valid[..., :2]
    )


def mano_joints_2d_term(
    mano_joints_rel_mm: Tensor,
    weak_camera: Tensor | None,
    targets: PoseTargets,
    grid: VolumeGrid,
    size_px: int,
) -> Tensor:
    """L1, cells, on the projection of MANO's joints `(B, 21, 3)` against fit or annotation.

    The wrist is placed at its true pixel, at the root depth. A crop without intrinsics is projected
    by the predicted weak-perspective camera if there is one, and does not count otherwise.
    """
    wrist_px = targets.hand_keypoints_px[:, :1]
    wrist_mm = back_project_mm(wrist_px, targets.wrist_depth_mm[:, None], targets.camera)
    pixels = project_px(wrist_mm + mano_joints_rel_mm, targets.camera)
    valid = targets.hand_joints_valid & targets.has_camera[:, None]
    if weak_camera is not None:
        weak = project_weak_perspective_px(mano_joints_rel_mm, weak_camera, size_px)
        pixels = torch.where(targets.has_camera[:, None, None], pixels, weak)
        valid = targets.hand_joints_valid
    return valid_l1(
        grid.cells_from_px(pixels, size_px),
        grid.cells_from_px(targets.hand_keypoints_px, size_px),
        valid,
    )


def structure_term(rotations: Tensor, targets: PoseTargets) -> Tensor:
    """Bone continuity: how differently consecutive joints of a finger rotate.

    Mean over the 10 pairs of consecutive finger joints of the mean squared difference of their
    rotations' nine entries, which is `8 / 9 sin^2(a / 2)` for rotations that are an angle a apart.
    The root, which rotates the whole hand, is in no pair. Counts for samples with a fit or an
    annotated joint.

    This prior is biased towards evenly bent fingers. Summed instead of averaged, it costs 0.7 mm
    when eight samples are overfitted. `limit_term` is the unbiased alternative:
    `Weights(structure=0, limits=0.1)`.

    Args:
        rotations: `(B, 16, 3, 3)`, mano16 order.
        targets: Targets of the batch.
    """
    fingers = rotations[:, 1:].unflatten(1, (5, 3))
    apart = (fingers[:, :, 1:] - fingers[:, :, :-1]).square().mean((-1, -2))
    return valid_l1(apart, torch.zeros_like(apart), targets.hand_joints_valid.any(-1))


def limit_term(rotations: Tensor, targets: PoseTargets) -> Tensor:
    """Joint limits: an unbiased alternative to `structure_term`.

    Mean over the 15 finger joints of `max(0, cos 120 deg - cos a)` for a joint that is rotated by
    the angle a from the flat hand. It is exactly zero for every pose within the limits, so that it
    favours none of them. Counts for the same samples as `structure_term`.

    Args:
        rotations: `(B, 16, 3, 3)`, mano16 order.
        targets: Targets of the batch.
    """
    cosine = (rotations[:, 1:].diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    beyond = (math.cos(math.radians(FINGER_LIMIT_DEG)) - cosine).clamp(min=0)
    return valid_l1(beyond, torch.zeros_like(beyond), targets.hand_joints_valid.any(-1))
