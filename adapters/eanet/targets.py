"""EANet's training targets per crop: joints, MANO parameters and their validity.

Two sources are kept apart, as the network's losses are: the *captured* joints of the annotation and
those of the MANO *fit*. Both hands, right first, mano21 order. `joint_img` is in heat-map cells
(x, y, z): the crop's pixels and the depth relative to the wrist of the same hand in a box of 0.3 m,
stretched to `grid` cells each way and `depth_cells` in depth. `joint_cam` is in metres, relative to
the wrist of the same hand, in the camera frame of the (mirrored, rotated) crop.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapters.eanet.crop import CropView
from adapters.eanet.mano import ManoHands
from gesture_pretrain.data.index.record import ManoFit
from gesture_pretrain.geometry.axis_angle import mirror_pose, rodrigues, rotation_vector
from gesture_pretrain.geometry.crop import apply_affine

HALF_DEPTH_M = 0.15
MAX_SHAPE = 3.0


class CapturedTargets(NamedTuple):
    """Targets of the annotated joints.

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
    """Targets of one hand's fit; the joint fields are as above, without the leading 2.

    Attributes:
        pose: (48,) axis-angle, root in the crop's camera frame, fingers minus the mean pose.
        shape: (10,), all 0 where the fit has a coefficient beyond 3.
        vertices_cam: (778, 3) m, the camera frame of the *image*: neither mirrored nor rotated,
            with translation; None unless asked for.
    """

    joint_img: np.ndarray
    joint_cam: np.ndarray
    inside: np.ndarray
    pose: np.ndarray
    shape: np.ndarray
    vertices_cam: np.ndarray | None


class Camera(NamedTuple):
    """``x_cam = R x_world + t`` with t in *metres*, and the pinhole."""

    R_cam_world: np.ndarray  # (3, 3)
    t_m: np.ndarray  # (3,)
    focal_px: np.ndarray  # (2,)
    princpt_px: np.ndarray  # (2,)

    def project_px(self, points_cam_m: np.ndarray) -> np.ndarray:
        """Project points (..., 3), of any depth, to pixels (..., 2)."""
        return points_cam_m[..., :2] / points_cam_m[..., 2:] * self.focal_px + self.princpt_px


def cells_of(points_px: np.ndarray, depth_rel_m: np.ndarray, view: CropView) -> np.ndarray:
    """Convert *image* pixels (..., 2) and depths (...) relative to the wrist to cells (..., 3).

    A cell is `size_px / grid` pixels wide; the first begins at pixel 0 and at -0.15 m.
    """
    cells = apply_affine(points_px, view.crop_from_image) * (view.grid / view.size_px)
    depth = (depth_rel_m / HALF_DEPTH_M + 1) / 2 * view.depth_cells
    return np.concatenate([cells, depth[..., None]], axis=-1)


def inside_grid(joint_img: np.ndarray, view: CropView) -> np.ndarray:
    """Return (...) bool: cells (..., 3) that lie within 0 <= cell < size on all axes."""
    sizes = [view.grid, view.grid, view.depth_cells]
    return np.all((joint_img >= 0) & (joint_img < sizes), axis=-1)


def captured_targets(
    joints_px: np.ndarray,
    joints_rel_m: np.ndarray,
    valid: np.ndarray,
    rel_trans_m: np.ndarray,
    view: CropView,
) -> CapturedTargets:
    """Move the captured joints with a crop.

    A mirror exchanges the hands. The translation between them, left minus right, then changes the
    sign of y and z: mirrored in x, and counted from the other hand.

    Args:
        joints_px: (2, 21, 2) image px.
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
    fits: Sequence[ManoFit],
    side: int,
    hands: ManoHands,
    cameras: Sequence[Camera],
    views: Sequence[CropView],
    *,
    posed_wrist_camera: bool = False,
    with_mesh: bool = False,
) -> list[ManoTargets]:
    """Move N fits of one handedness from the world to N crops of one size.

    The result of a mirrored crop is one of the *other* hand; exchanging the two is the caller's.

    Args:
        fits: Parameters in the world frame.
        side: 0 right, 1 left: handedness of the fits in the images.
        hands: The MANO hands.
        cameras: Cameras of the images, metres.
        views: The crops.
        posed_wrist_camera: Upstream's camera transformation, see `eanet.Quirks`.
        with_mesh: Also return the vertices.
    """
    pose, shape, trans = (_stacked(fits, name) for name in ("pose", "shape", "trans_m"))
    to_camera = _stacked(cameras, "R_cam_world")
    root = rotation_vector(to_camera @ rodrigues(pose[:, :3]))
    posed = np.concatenate([root, pose[:, 3:]], axis=1) if posed_wrist_camera else pose
    joints = hands.fit_joints_m(side, posed, shape, trans)
    wrists = joints[:, :1] if posed_wrist_camera else None
    t_m = _stacked(cameras, "t_m")
    moved = _in_camera(joints, to_camera, t_m, wrists)
    relative = moved - moved[:, :1]
    joint_img = _cells(moved, relative, cameras, views)
    too_large = np.any(np.abs(shape) > MAX_SHAPE, axis=1)
    meshes = [None] * len(fits)
    if with_mesh:
        vertices = hands.fit_vertices_m(side, posed, shape, trans)
        meshes = list(_in_camera(vertices, to_camera, t_m, wrists))
    fields = zip(
        joint_img,
        relative @ _stacked(views, "rotation").swapaxes(1, 2),
        inside_grid(joint_img, views[0]),
        _poses_in_crops(root, pose[:, 3:], views),
        np.where(too_large[:, None], 0.0, shape),
        meshes,
        strict=True,
    )
    return [ManoTargets(*each) for each in fields]


def _in_camera(
    points: np.ndarray, to_camera: np.ndarray, t_m: np.ndarray, wrists: np.ndarray | None
) -> np.ndarray:
    """Map points (N, K, 3) of hands to the camera frames of the images, m.

    Without `wrists` they lie in the world and are moved. With them (upstream) the hand is posed in
    the camera's axes already, and its wrist (N, 1, 3) is put where the camera sees it.
    """
    rotated = (points if wrists is None else wrists) @ to_camera.swapaxes(1, 2) + t_m[:, None]
    return rotated if wrists is None else points + (rotated - wrists)


def _cells(
    joints_cam_m: np.ndarray,
    relative_m: np.ndarray,
    cameras: Sequence[Camera],
    views: Sequence[CropView],
) -> np.ndarray:
    """Return heat-map cells (N, 21, 3)."""
    found = [
        cells_of(camera.project_px(joints), relative[:, 2], view)
        for camera, view, joints, relative in zip(
            cameras, views, joints_cam_m, relative_m, strict=True
        )
    ]
    return np.stack(found)


def _poses_in_crops(
    root_cam: np.ndarray, fingers: np.ndarray, views: Sequence[CropView]
) -> np.ndarray:
    """Return (N, 48) from roots (N, 3) and fingers (N, 45)."""
    pose = np.concatenate([root_cam, fingers], axis=1)
    mirrored = [view.mirrored for view in views]
    pose[mirrored] = mirror_pose(pose[mirrored])
    rotated = _stacked(views, "turn") @ rodrigues(pose[:, :3])
    return np.concatenate([rotation_vector(rotated), pose[:, 3:]], axis=1)


def _stacked(items: Sequence, name: str) -> np.ndarray:
    return np.stack([np.float64(getattr(item, name)) for item in items])
