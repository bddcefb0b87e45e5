"""The square crop of a box: its effect on pixels and on vectors in the camera frame."""

import numpy as np
from numpy.typing import ArrayLike


def crop_affine(
    bbox_xywh_px: ArrayLike,
    size_px: int,
    *,
    scale: float = 1.0,
    rotation_deg: float = 0.0,
    flip: bool = False,
) -> np.ndarray:
    """Compute the affine map from image pixels to the pixels of a square crop.

    The image is first mirrored about the vertical line through the centre of the box (``flip``).
    Then a box of ``scale`` times the size, rotated by ``rotation_deg`` (positive: from +x towards
    +y, clockwise on the screen), is stretched to the crop. The content therefore rotates by
    ``-rotation_deg``. Equals the maps of the EANet and InterNet loaders. ``crop_rotation`` returns
    the corresponding transform of 3D points.

    Args:
        bbox_xywh_px: (4,) box. Make it square first (``square_box``) to avoid stretching.
        size_px: Side length of the crop.
        scale: Factor on the size of the box; above 1 shows more around the hand.
        rotation_deg: Rotation of the box, degrees.
        flip: Mirror left and right.

    Returns:
        (2, 3) matrix for ``apply_affine`` and ``cv2.warpAffine``.

    Raises:
        ValueError: The box, size or scale is not positive and finite.
    """
    box = np.asarray(bbox_xywh_px, np.float64)
    if box.shape != (4,) or not np.all(np.isfinite(box)) or np.any(box[2:] <= 0):
        raise ValueError(f"a crop needs a box x, y, width > 0, height > 0 in pixels, got {box}")
    if not (size_px > 0 and np.isfinite(scale) and scale > 0):
        raise ValueError(f"size_px and scale must be positive, got {size_px} and {scale}")
    # Round box and points to float32 as the loaders named above do: the map then agrees with
    # theirs to 2e-6 instead of 3e-5 px.
    box = np.float32(box)
    axes = crop_rotation(rotation_deg=rotation_deg, flip=flip)[:2, :2]
    half = np.float32(axes * (box[2:, None] * scale / 2))
    centre = box[:2] + box[2:] / 2
    points = np.stack([centre, centre + half[0], centre + half[1]]).astype(np.float64)
    corners = np.array([[0.5, 0.5], [1.0, 0.5], [0.5, 1.0]]) * size_px
    return np.linalg.solve(np.column_stack([points, np.ones(3)]), corners).T


def crop_rotation(*, rotation_deg: float = 0.0, flip: bool = False) -> np.ndarray:
    """Compute the effect of ``crop_affine`` on camera-frame vectors (root-relative joints).

    Returns:
        Matrix Q (3, 3) with ``joints_rel_crop = joints_rel @ Q.T``: x is mirrored if ``flip``, then
        rotated by ``-rotation_deg`` about the viewing axis. With ``flip`` the determinant is -1,
        and a right hand becomes a left hand.
    """
    angle = np.deg2rad(rotation_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return rotation @ np.diag([-1.0 if flip else 1.0, 1.0, 1.0])


def invert_affine(affine: ArrayLike) -> np.ndarray:
    """Invert a (2, 3) affine map. Raises ``numpy.linalg.LinAlgError`` if it is singular."""
    matrix = np.asarray(affine, np.float64)
    inverse = np.linalg.inv(matrix[:, :2])
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def apply_affine(points_px: ArrayLike, affine: ArrayLike) -> np.ndarray:
    """Transform points (..., 2) by a (2, 3) affine map."""
    matrix = np.asarray(affine, np.float64)
    return np.asarray(points_px, np.float64) @ matrix[:, :2].T + matrix[:, 2]
