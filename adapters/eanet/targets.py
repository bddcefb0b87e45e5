"""What EANet is trained on, per crop: joints, MANO parameters, and which of them are known.

Two sources are kept apart, as the network's losses are: the *captured* joints of the annotation and
those of the MANO *fit*. Both hands, right first, mano21 order. `joint_img` is in heat-map cells
(x, y, z): the crop's pixels and the depth relative to the wrist of the same hand in a box of 0.3 m,
stretched to `grid` cells each way and `depth_cells` in depth. `joint_cam` is in metres, relative to
the wrist of the same hand, in the camera frame of the (mirrored, turned) crop.
"""

from typing import NamedTuple

import numpy as np
import torch

from adapters.eanet.crop import CropView
from adapters.eanet.mano import ManoHands
from gesture_pretrain.data.record import ManoFit
from gesture_pretrain.geometry.axis_angle import mirror_pose, rodrigues, rotation_vector
from gesture_pretrain.geometry.crop import apply_affine

HALF_DEPTH_M = 0.15
MAX_SHAPE = 3.0


class CapturedTargets(NamedTuple):
    """Of the annotated joints.

    Attributes:
        joint_img: (2, 21, 3) cells.
        joint_cam: (2, 21, 3) m.
        valid: (2, 21) bool, triangulated, and so is the wrist.
        inside: (2, 21) bool, valid and inside the grid on all three axes.
        rel_trans: (3,) m, left wrist minus right wrist, camera axes of the crop.
    """

    joint_img: np.ndarray
    joint_cam: np.ndarray
    valid: np.ndarray
    inside: np.ndarray
    rel_trans: np.ndarray


class ManoTargets(NamedTuple):
    """Of one hand's fit; `joint_img`, `joint_cam`, `inside` as above, without the leading 2.

    Attributes:
        pose: (48,) axis-angle, root in the crop's camera frame, fingers minus the mean pose.
        shape: (10,), all 0 where the fit has a coefficient beyond 3.
        vertices_cam: (778, 3) m, the camera frame of the *picture*: neither mirrored nor turned,
            with translation.
    """

    joint_img: np.ndarray
    joint_cam: np.ndarray
    inside: np.ndarray
    pose: np.ndarray
    shape: np.ndarray
    vertices_cam: np.ndarray


class Camera(NamedTuple):
    """``x_cam = R x_world + t`` with t in *metres*, and the pinhole."""

    R_cam_world: np.ndarray  # (3, 3)
    t_m: np.ndarray  # (3,)
    focal_px: np.ndarray  # (2,)
    princpt_px: np.ndarray  # (2,)

    def project_px(self, points_cam_m: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3), whatever their depth."""
        return points_cam_m[..., :2] / points_cam_m[..., 2:] * self.focal_px + self.princpt_px


def cells_of(points_px: np.ndarray, depth_rel_m: np.ndarray, view: CropView) -> np.ndarray:
    """Heat-map cells (..., 3) of *picture* pixels (..., 2) and depths (...) relative to the wrist.

    A cell is `size_px / grid` pixels wide; the first begins at pixel 0 and at -0.15 m.
    """
    cells = apply_affine(points_px, view.crop_from_image) * (view.grid / view.size_px)
    depth = (depth_rel_m / HALF_DEPTH_M + 1) / 2 * view.depth_cells
    return np.concatenate([cells, depth[..., None]], axis=-1)


def inside_grid(joint_img: np.ndarray, view: CropView) -> np.ndarray:
    """(...) bool: cells (..., 3) that lie within 0 <= cell < size on all axes."""
    sizes = [view.grid, view.grid, view.depth_cells]
    return np.all((joint_img >= 0) & (joint_img < sizes), axis=-1)


def captured_targets(
    joints_px: np.ndarray,
    joints_rel_m: np.ndarray,
    valid: np.ndarray,
    rel_trans_m: np.ndarray,
    view: CropView,
) -> CapturedTargets:
    """Moves the captured joints with a crop.

    A mirror exchanges the hands. The translation between them, left minus right, then changes the
    sign of y and z: mirrored in x, and counted from the other hand.

    Args:
        joints_px: (2, 21, 2) picture px.
        joints_rel_m: (2, 21, 3) minus the wrist of the same hand, camera frame, m.
        valid: (2, 21) bool.
        rel_trans_m: (3,) left wrist minus right wrist, m.
        view: The crop.
    """
    joint_img = cells_of(joints_px, joints_rel_m[..., 2], view)
    joint_cam = joints_rel_m @ view.rotation.T
    rel_trans = view.rotation @ rel_trans_m
    if view.mirrored:
        joint_img, joint_cam, valid = joint_img[::-1], joint_cam[::-1], valid[::-1]
        rel_trans = -rel_trans
    inside = valid & inside_grid(joint_img, view)
    return CapturedTargets(joint_img, joint_cam, valid, inside, rel_trans)


def mano_targets(
    fit: ManoFit,
    side: int,
    hands: ManoHands,
    camera: Camera,
    view: CropView,
    *,
    posed_wrist_camera: bool = False,
) -> ManoTargets:
    """Moves the fit of one hand from the world to a crop.

    The result of a mirrored crop is one of the *other* hand; exchanging the two is the caller's.

    Args:
        fit: Parameters in the world frame.
        side: 0 right, 1 left: whose fit it is, in the picture.
        hands: The MANO hands.
        camera: Of the picture, metres.
        view: The crop.
        posed_wrist_camera: Upstream's way into the camera, see `eanet.Quirks`.
    """
    pose = np.float64(fit.pose)
    root = rotation_vector(np.float64(camera.R_cam_world) @ rodrigues(pose[:3]))
    vertices, joints = _mesh_in_camera(
        fit, side, hands, camera, root if posed_wrist_camera else None
    )
    relative = joints - joints[0]
    joint_img = cells_of(camera.project_px(joints), relative[:, 2], view)
    shape = np.float64(fit.shape)
    return ManoTargets(
        joint_img,
        relative @ view.rotation.T,
        inside_grid(joint_img, view),
        _pose_in_crop(root, pose[3:], view),
        np.zeros(10) if np.any(np.abs(shape) > MAX_SHAPE) else shape,
        vertices,
    )


def _mesh_in_camera(
    fit: ManoFit, side: int, hands: ManoHands, camera: Camera, turned_root: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (778, 3) and joints (21, 3) in the camera frame of the picture, m.

    With `turned_root` the hand is posed in the camera's axes and its wrist put where the camera
    sees it (upstream); without, the mesh is posed in the world and moved.
    """
    root = fit.pose[:3] if turned_root is None else turned_root
    with torch.no_grad():
        values = (np.concatenate([root, fit.pose[3:]]), fit.shape, fit.trans_m)
        pose, shape, trans = (
            torch.as_tensor(np.asarray(value), dtype=hands.regressor21.dtype)[None]
            for value in values
        )
        vertices = hands.vertices_m(side, pose, shape, trans)
        joints = hands.joints_m(vertices)
    vertices, joints = vertices[0].double().numpy(), joints[0].double().numpy()
    rotation, t_m = np.float64(camera.R_cam_world), np.float64(camera.t_m)
    if turned_root is None:
        return vertices @ rotation.T + t_m, joints @ rotation.T + t_m
    shift = rotation @ joints[0] + t_m - joints[0]
    return vertices + shift, joints + shift


def _pose_in_crop(root_cam: np.ndarray, fingers: np.ndarray, view: CropView) -> np.ndarray:
    pose = np.concatenate([root_cam, fingers])
    if view.mirrored:
        pose = mirror_pose(pose)
    return np.concatenate([rotation_vector(view.turn @ rodrigues(pose[:3])), pose[3:]])
