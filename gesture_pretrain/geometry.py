"""Cameras, crops, rotations and similarity alignment, in numpy.

Frames: *world* is the frame of the calibration, in millimetres. *cam* has x right, y down, z away
from the viewer. *px* are pixels of the stored image, with the origin that the annotations use; a
crop maps the left edge of its box to 0 and the right edge to its size, hence the centre of the box
to size / 2. Nothing is shifted by half a pixel anywhere.

Everything is computed and returned in float64, whatever float comes in.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

# --- cameras ---------------------------------------------------------------------------------


def world_to_camera_mm(
    joints_world_mm: ArrayLike, R_cam_world: ArrayLike, camera_center_mm: ArrayLike
) -> np.ndarray:
    """Move points from the world to a camera: ``x_cam = R (x_world - c)``.

    Args:
        joints_world_mm: (..., 3) points, world frame, mm.
        R_cam_world: (3, 3) rotation from world to camera.
        camera_center_mm: (3,) camera centre, world frame, mm.

    Returns:
        (..., 3) points, camera frame, mm.
    """
    points = np.asarray(joints_world_mm, np.float64)
    rotation = np.asarray(R_cam_world, np.float64)
    return (points - np.asarray(camera_center_mm, np.float64)) @ rotation.T


def translation_of_camera_mm(R_cam_world: ArrayLike, camera_center_mm: ArrayLike) -> np.ndarray:
    """The ``t`` of ``x_cam = R x_world + t``, that is ``-R c``: (3,), mm."""
    rotation = np.asarray(R_cam_world, np.float64)
    return -rotation @ np.asarray(camera_center_mm, np.float64)


def project_px(joints_cam_mm: ArrayLike, focal_px: ArrayLike, princpt_px: ArrayLike) -> np.ndarray:
    """Pinhole projection without distortion or skew: ``u = fx x/z + cx``.

    Args:
        joints_cam_mm: (..., 3) points, camera frame, any length unit.
        focal_px: (2,) focal lengths fx, fy.
        princpt_px: (2,) principal point.

    Returns:
        (..., 2) pixels; NaN for points that are not in front of the camera (z <= 0).
    """
    points = np.asarray(joints_cam_mm, np.float64)
    depth = np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
    focal, centre = np.asarray(focal_px, np.float64), np.asarray(princpt_px, np.float64)
    return points[..., :2] / depth * focal + centre


def mano_root_to_camera(
    root_rad: ArrayLike,
    trans_m: ArrayLike,
    rest_wrist_m: ArrayLike,
    R_cam_world: ArrayLike,
    t_m: ArrayLike,
) -> tuple[np.ndarray, np.ndarray]:
    """Move MANO's root rotation and translation from the world to a camera, exactly.

    MANO turns about its rest wrist J0, not about the origin, so the translation changes as
    ``R (J0 + trans) + t - J0``. The mesh then equals the moved mesh to rounding.

    Args:
        root_rad: (..., 3) axis-angle of the root, the first three pose entries.
        trans_m: (..., 3) MANO translation, m.
        rest_wrist_m: (..., 3) J0, the wrist of the unposed hand *with this shape*, m.
        R_cam_world: (3, 3) or (..., 3, 3) rotation of ``x_cam = R x_world + t``.
        t_m: (..., 3) its translation, in metres, unlike the calibration files.

    Returns:
        root (..., 3) rad and translation (..., 3) m, camera frame.
    """
    rotation = np.asarray(R_cam_world, np.float64)
    wrist = np.asarray(rest_wrist_m, np.float64)
    moved = np.einsum("...ij,...j->...i", rotation, wrist + np.asarray(trans_m, np.float64))
    root = rotation_vector(rotation @ rodrigues(root_rad))
    return root, moved + np.asarray(t_m, np.float64) - wrist


# --- boxes and crops -------------------------------------------------------------------------


def tight_box(points_px: ArrayLike, valid: ArrayLike | None = None, ratio: float = 1.0):
    """Smallest axis-parallel box around points, enlarged by ``ratio`` about its centre.

    Args:
        points_px: (N, 2) pixels.
        valid: (N,) bool, which points count; all by default.
        ratio: enlargement of width and height.

    Returns:
        (4,) box: x, y of the upper left corner, width, height, in pixels.

    Raises:
        ValueError: if no point is valid.
    """
    points = np.asarray(points_px, np.float64)
    if valid is not None:
        points = points[np.asarray(valid, bool)]
    if len(points) == 0:
        raise ValueError("a box needs at least one valid point; test the mask first")
    low, high = points.min(axis=0), points.max(axis=0)
    return _box_about((low + high) / 2, (high - low) * ratio)


def square_box(bbox_xywh_px: ArrayLike, ratio: float = 1.0) -> np.ndarray:
    """Square of side ``ratio * max(width, height)`` about a box's centre: (4,) xywh, pixels."""
    box = np.asarray(bbox_xywh_px, np.float64)
    side = ratio * max(box[2], box[3])
    return _box_about(box[:2] + box[2:] / 2, np.array([side, side]))


def union_box(first_xywh_px: ArrayLike, second_xywh_px: ArrayLike) -> np.ndarray:
    """Smallest box around two boxes: (4,) xywh, pixels."""
    first, second = np.asarray(first_xywh_px, np.float64), np.asarray(second_xywh_px, np.float64)
    low = np.minimum(first[:2], second[:2])
    high = np.maximum(first[:2] + first[2:], second[:2] + second[2:])
    return np.concatenate([low, high - low])


def clip_box_eanet(bbox_xywh_px: ArrayLike, image_size_wh: tuple[int, int]) -> np.ndarray:
    """Clip a box to the image by the rule of the EANet family, which evaluation there depends on.

    The rule counts pixels inclusively: a box inside the image loses one pixel of width and height,
    and a box that starts left of the image is shifted, not cut.

    Returns:
        (4,) xywh, pixels.

    Raises:
        ValueError: if nothing of the box is left.
    """
    x, y, width, height = np.asarray(bbox_xywh_px, np.float64)
    low = np.array([max(0.0, x), max(0.0, y)])
    size = np.array([max(0.0, width - 1), max(0.0, height - 1)])
    extent = np.minimum(np.asarray(image_size_wh, np.float64) - 1, low + size) - low
    if width * height <= 0 or np.any(extent <= 0):
        raise ValueError(
            f"box {x:.1f}, {y:.1f}, {width:.1f} x {height:.1f} px has no area inside the "
            f"{image_size_wh[0]} x {image_size_wh[1]} px image; skip this sample"
        )
    return np.concatenate([low, extent])


def _box_about(centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.concatenate([centre - size / 2, size])


def crop_affine(
    bbox_xywh_px: ArrayLike,
    size_px: int,
    *,
    scale: float = 1.0,
    rotation_deg: float = 0.0,
    flip: bool = False,
) -> np.ndarray:
    """The affine map from image pixels to the pixels of a square crop.

    The image is first mirrored about the vertical line through the centre of the box (``flip``),
    then a box of ``scale`` times the size, turned by ``rotation_deg`` (positive: from +x towards
    +y, clockwise on the screen), is stretched to the crop. The content therefore turns by
    ``-rotation_deg``. Equals the maps of the EANet and InterNet loaders. ``crop_rotation`` gives
    what happens to 3D points at the same time.

    Args:
        bbox_xywh_px: (4,) box; make it square first (``square_box``) unless stretching is wanted.
        size_px: side of the crop.
        scale: factor on the size of the box; above 1 shows more around the hand.
        rotation_deg: turn of the box, degrees.
        flip: mirror left and right.

    Returns:
        (2, 3) matrix for ``apply_affine`` and ``cv2.warpAffine``.

    Raises:
        ValueError: for a box, size or scale that is not positive and finite.
    """
    box = np.asarray(bbox_xywh_px, np.float64)
    if box.shape != (4,) or not np.all(np.isfinite(box)) or np.any(box[2:] <= 0):
        raise ValueError(f"a crop needs a box x, y, width > 0, height > 0 in pixels, got {box}")
    if not (size_px > 0 and np.isfinite(scale) and scale > 0):
        raise ValueError(f"size_px and scale must be positive, got {size_px} and {scale}")
    # Box and points are rounded to float32, as the loaders named above do: the map agrees with
    # theirs to 2e-6 instead of 3e-5 px, which tells a rounding difference from a wrong rule.
    box = np.float32(box)
    axes = crop_rotation(rotation_deg=rotation_deg, flip=flip)[:2, :2]
    half = np.float32(axes * (box[2:, None] * scale / 2))
    centre = box[:2] + box[2:] / 2
    points = np.stack([centre, centre + half[0], centre + half[1]]).astype(np.float64)
    corners = np.array([[0.5, 0.5], [1.0, 0.5], [0.5, 1.0]]) * size_px
    return np.linalg.solve(np.column_stack([points, np.ones(3)]), corners).T


def crop_rotation(*, rotation_deg: float = 0.0, flip: bool = False) -> np.ndarray:
    """What the crop of ``crop_affine`` does to camera-frame vectors (root-relative joints).

    Returns:
        (3, 3) matrix Q with ``joints_rel_crop = joints_rel @ Q.T``: mirror of x if ``flip``, then a
        turn by ``-rotation_deg`` about the viewing axis. Its determinant is -1 if ``flip``; a
        mirrored right hand is a left hand.
    """
    angle = np.deg2rad(rotation_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return turn @ np.diag([-1.0 if flip else 1.0, 1.0, 1.0])


def invert_affine(affine: ArrayLike) -> np.ndarray:
    """Inverse of a (2, 3) affine map, (2, 3). Raises ``numpy.linalg.LinAlgError`` if singular."""
    matrix = np.asarray(affine, np.float64)
    inverse = np.linalg.inv(matrix[:, :2])
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def apply_affine(points_px: ArrayLike, affine: ArrayLike) -> np.ndarray:
    """Map points (..., 2) by a (2, 3) affine map."""
    matrix = np.asarray(affine, np.float64)
    return np.asarray(points_px, np.float64) @ matrix[:, :2].T + matrix[:, 2]


# --- rotations -------------------------------------------------------------------------------


def rodrigues(rotation_vector_rad: ArrayLike) -> np.ndarray:
    """Axis-angle vectors (..., 3), radians, to rotation matrices (..., 3, 3).

    Accurate to rounding at every angle, zero included.
    """
    vector = np.asarray(rotation_vector_rad, np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    # sin(a)/a and (1 - cos a)/a^2 = (sin(a/2)/(a/2))^2 / 2, free of cancellation and of 0/0
    first, second = np.sinc(angle / np.pi), np.sinc(angle / (2 * np.pi)) ** 2 / 2
    cross = cross_matrix(vector)
    return np.eye(3) + first * cross + second * (cross @ cross)


def cross_matrix(vector: ArrayLike) -> np.ndarray:
    """Matrices (..., 3, 3) with ``cross_matrix(v) @ w == cross(v, w)`` for vectors (..., 3)."""
    x, y, z = np.moveaxis(np.asarray(vector, np.float64), -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_vector(rotation: ArrayLike) -> np.ndarray:
    """Rotation matrices (..., 3, 3) to axis-angle vectors (..., 3) with angle in [0, pi].

    Goes through the unit quaternion, from whichever of its four components is largest (Shepperd,
    "Quaternion from rotation matrix", 1978), so that neither 0 nor pi loses digits. At exactly pi
    the two opposite vectors are the same rotation and either may come back.
    """
    matrix = np.asarray(rotation, np.float64)
    candidates = _quaternion_outer_product(matrix)
    largest = np.argmax(np.einsum("...ii->...i", candidates), axis=-1)
    quaternion = np.take_along_axis(candidates, largest[..., None, None], axis=-2)[..., 0, :]
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    quaternion = np.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    length = np.linalg.norm(quaternion[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, quaternion[..., :1])
    safe_length = np.where(length > 0, length, 1.0)
    return quaternion[..., 1:] * np.where(length > 0, angle / safe_length, 2.0)


def _quaternion_outer_product(matrix: np.ndarray) -> np.ndarray:
    """(..., 4, 4) matrix 4 q q^T of the quaternions q = (w, x, y, z), linear in the rotation."""
    r = np.moveaxis(matrix, (-2, -1), (0, 1))
    ww, xx = 1 + r[0, 0] + r[1, 1] + r[2, 2], 1 + r[0, 0] - r[1, 1] - r[2, 2]
    yy, zz = 1 - r[0, 0] + r[1, 1] - r[2, 2], 1 - r[0, 0] - r[1, 1] + r[2, 2]
    wx, wy, wz = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    xy, xz, yz = r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1]
    rows = [[ww, wx, wy, wz], [wx, xx, xy, xz], [wy, xy, yy, yz], [wz, xz, yz, zz]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def mirror_pose(pose: ArrayLike) -> np.ndarray:
    """Axis-angle vectors (..., 3 k) of the mirror image about x = 0: (x, y, z) to (x, -y, -z)."""
    vectors = np.asarray(pose)
    return vectors * np.tile([1.0, -1.0, -1.0], vectors.shape[-1] // 3)


def rotation_6d(rotation: ArrayLike) -> np.ndarray:
    """Rotation matrices (..., 3, 3) to the 6D form of Zhou et al. (CVPR 2019), (..., 6).

    The first column of the matrix, then the second. (Some code bases interleave the two.)
    """
    matrix = np.asarray(rotation, np.float64)
    return np.concatenate([matrix[..., 0], matrix[..., 1]], axis=-1)


def rotation_from_6d(six: ArrayLike) -> np.ndarray:
    """The 6D form (..., 6) to rotation matrices (..., 3, 3), by Gram-Schmidt (Zhou et al., 2019).

    The two vectors need not be normalised or orthogonal.

    Raises:
        ValueError: where they are zero or parallel, so that no rotation is meant.
    """
    values = np.asarray(six, np.float64)
    first, second = values[..., :3], values[..., 3:]
    x_axis = _normalised(first, scale=np.linalg.norm(first, axis=-1, keepdims=True))
    rest = second - np.sum(x_axis * second, axis=-1, keepdims=True) * x_axis
    y_axis = _normalised(rest, scale=np.linalg.norm(second, axis=-1, keepdims=True))
    return np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)], axis=-1)


def _normalised(vector: np.ndarray, scale: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    if not np.all(length > 1e-12 * scale):
        raise ValueError(
            "a 6D rotation with zero, parallel or NaN vectors has no rotation matrix; "
            "check the values that produced it"
        )
    return vector / length


# --- similarity alignment --------------------------------------------------------------------


class Similarity(NamedTuple):
    """``aligned = scale * points @ rotation.T + translation`` (leading axes are batch axes)."""

    scale: np.ndarray  # (...)
    rotation: np.ndarray  # (..., 3, 3), determinant +1
    translation: np.ndarray  # (..., 3)

    def apply(self, points: ArrayLike) -> np.ndarray:
        """Map points (..., N, 3)."""
        turned = np.asarray(points, np.float64) @ np.swapaxes(self.rotation, -1, -2)
        return self.scale[..., None, None] * turned + self.translation[..., None, :]


def procrustes_align(
    predicted: ArrayLike, target: ArrayLike, valid: ArrayLike | None = None
) -> np.ndarray:
    """Best similarity (scale, rotation, translation) of a prediction to its target, applied.

    Least squares over the valid points, without reflections (Umeyama, TPAMI 1991): a mirrored hand
    keeps its error. A prediction collapsed to a point or a line is aligned as far as it can be.

    Args:
        predicted: (..., N, 3) points.
        target: (..., N, 3) points in the same unit.
        valid: (..., N) bool, the points that determine the alignment; all by default. All points
            are moved. Points that are not valid may hold anything, NaN included.

    Returns:
        (..., N, 3) the aligned prediction.

    Raises:
        ValueError: where fewer than three valid target points, or only collinear ones, are left.
    """
    return procrustes_similarity(predicted, target, valid).apply(predicted)


def procrustes_similarity(
    predicted: ArrayLike, target: ArrayLike, valid: ArrayLike | None = None
) -> Similarity:
    """The transform that ``procrustes_align`` applies; same arguments and errors."""
    source, goal = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    if source.shape != goal.shape or source.shape[-1] != 3:
        raise ValueError(f"need two arrays (..., N, 3) alike, got {source.shape} and {goal.shape}")
    mask = np.ones(goal.shape[:-1], bool) if valid is None else np.asarray(valid, bool)
    source_mean, source_centred = _centre(source, mask)
    goal_mean, goal_centred = _centre(goal, mask)
    _require_spread(goal_centred, mask)

    u, singular, vt = np.linalg.svd(np.swapaxes(source_centred, -1, -2) @ goal_centred)
    sign = np.ones_like(singular)
    sign[..., 2] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotation = np.swapaxes(u @ (sign[..., None] * vt), -1, -2)
    spread = np.sum(source_centred**2, axis=(-2, -1))
    covariance = np.sum(singular * sign, axis=-1)
    scale = np.where(spread > 0, covariance / np.where(spread > 0, spread, 1.0), 0.0)
    moved_mean = scale[..., None] * np.einsum("...ij,...j->...i", rotation, source_mean)
    return Similarity(scale, rotation, goal_mean - moved_mean)


def _centre(points: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept = np.where(mask[..., None], points, 0.0)
    mean = kept.sum(axis=-2) / np.maximum(mask.sum(axis=-1), 1)[..., None]
    return mean, np.where(mask[..., None], points - mean[..., None, :], 0.0)


def _require_spread(goal_centred: np.ndarray, mask: np.ndarray) -> None:
    if not np.all(np.isfinite(goal_centred)):
        raise ValueError("valid target points hold NaN or infinity; mask them out")
    singular = np.linalg.svd(goal_centred, compute_uv=False)
    enough = (mask.sum(axis=-1) >= 3) & (singular[..., 1] > 1e-9 * singular[..., 0])
    if not np.all(enough):
        raise ValueError(
            f"Procrustes alignment needs three valid points that are not on one line; "
            f"{int(np.sum(~enough))} of {enough.size} samples have not. Leave those samples out"
        )
