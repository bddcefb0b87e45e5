"""Targets of the objective from a batch of `PoseSample`."""

import torch
from torch import Tensor

from adapters.token_fusion.camera import back_project_mm
from adapters.token_fusion.grid import VolumeGrid
from adapters.token_fusion.objective import PoseTargets
from gesture_pretrain.data.samples.pose_dataset import PoseSample
from gesture_pretrain.hand.rotation import rotation_6d_from_axis_angle

# Replaces an unknown camera or depth to avoid division by zero; results
# are masked.
_ANY_DEPTH_MM = 1000.0


def pose_targets(batch: PoseSample, grid: VolumeGrid, mean_pose: Tensor) -> PoseTargets:
    """Targets of a collated batch.

    MANO's joints are compared with those of the fit. A sample without a fit is compared with its
    annotated joints instead, so that every annotated sample trains the MANO heads, the fusion and
    the guidance.

    Args:
        batch: B samples, whose image has the size of the crop.
        grid: Grid of the volume.
        mean_pose: `(48,)` axis-angle, rad, which MANO adds to a pose.
    """
    size_px = batch.image.shape[-1]
    depth_known = torch.isfinite(batch.wrist_depth_mm)
    has_camera = batch.has_camera & depth_known
    like = batch.crop_camera
    any_camera = torch.eye(3, dtype=like.dtype, device=like.device)
    camera = torch.where(has_camera[:, None, None], batch.crop_camera, any_camera)
    wrist_depth_mm = torch.where(has_camera, batch.wrist_depth_mm, _ANY_DEPTH_MM)
    wrist_mm = back_project_mm(batch.keypoints_px[:, :1], wrist_depth_mm[:, None], camera)
    cells = grid.cells_from_25d(batch.keypoints_px, batch.joints_rel_mm[..., 2], size_px)
    cells_valid = grid.contains(cells) & batch.joint_in_view[..., None]
    pose = batch.mano_pose + mean_pose.to(batch.mano_pose)
    has_fit = batch.mano_valid[:, None, None]
    hand_joints_valid = batch.mano_valid[:, None] | batch.joint_valid
    hand_keypoints_px = torch.where(has_fit, batch.mano_keypoints_px, batch.keypoints_px)
    return PoseTargets(
        joints_cells=cells,
        joints_cells_valid=cells_valid,
        joints_cam_mm=wrist_mm + batch.joints_rel_mm,
        joints_cam_valid=cells_valid.all(-1) & has_camera[:, None],
        pose_6d=rotation_6d_from_axis_angle(pose.unflatten(1, (16, 3))),
        shape=batch.mano_shape,
        hand_joints_rel_mm=torch.where(has_fit, batch.mano_joints_rel_mm, batch.joints_rel_mm),
        # the wrist also places the predicted hand, so that it must be finite
        hand_keypoints_px=torch.where(hand_joints_valid[..., None], hand_keypoints_px, 0.0),
        hand_joints_valid=hand_joints_valid,
        mano_valid=batch.mano_valid,
        wrist_depth_mm=wrist_depth_mm,
        camera=camera,
        has_camera=has_camera,
    )
