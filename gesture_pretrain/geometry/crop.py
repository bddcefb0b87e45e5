"""The square crop of a box: what it does to pixels, and to vectors in the camera's frame."""

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
