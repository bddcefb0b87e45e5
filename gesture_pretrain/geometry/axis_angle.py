"""Rotations as axis-angle vectors and matrices (torch: `gesture_pretrain.hand.rotation`)."""

import numpy as np
from numpy.typing import ArrayLike


def rodrigues(rotation_vector_rad: ArrayLike) -> np.ndarray:
    """Convert axis-angle vectors (..., 3), radians, to rotation matrices (..., 3, 3).

    Accurate to rounding at every angle, including zero.
    """
    vector = np.asarray(rotation_vector_rad, np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    # sin(a)/a and (1 - cos a)/a^2 = (sin(a/2)/(a/2))^2 / 2, free of cancellation and of 0/0
    first, second = np.sinc(angle / np.pi), np.sinc(angle / (2 * np.pi)) ** 2 / 2
    cross = cross_matrix(vector)
    return np.eye(3) + first * cross + second * (cross @ cross)


def cross_matrix(vector: ArrayLike) -> np.ndarray:
    """Build matrices (..., 3, 3) with ``cross_matrix(v) @ w == cross(v, w)``."""
    x, y, z = np.moveaxis(np.asarray(vector, np.float64), -1, 0)
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_vector(rotation: ArrayLike) -> np.ndarray:
    """Convert rotation matrices (..., 3, 3) to axis-angle vectors (..., 3), angle in [0, pi].

    Uses the unit quaternion, starting from its largest component (Shepperd, "Quaternion from
    rotation matrix", 1978), which keeps full precision near 0 and pi. At exactly pi, two opposite
    vectors represent the same rotation, and either may be returned.
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
    """Compute 4 q q^T (..., 4, 4) of the quaternions q = (w, x, y, z), linear in the rotation."""
    r = np.moveaxis(matrix, (-2, -1), (0, 1))
    ww, xx = 1 + r[0, 0] + r[1, 1] + r[2, 2], 1 + r[0, 0] - r[1, 1] - r[2, 2]
    yy, zz = 1 - r[0, 0] + r[1, 1] - r[2, 2], 1 - r[0, 0] - r[1, 1] + r[2, 2]
    wx, wy, wz = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    xy, xz, yz = r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1]
    rows = [[ww, wx, wy, wz], [wx, xx, xy, xz], [wy, xy, yy, yz], [wz, xz, yz, zz]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def mirror_pose(pose: ArrayLike) -> np.ndarray:
    """Mirror axis-angle vectors (..., 3 k) about the plane x = 0: (x, y, z) to (x, -y, -z)."""
    vectors = np.asarray(pose)
    return vectors * np.tile([1.0, -1.0, -1.0], vectors.shape[-1] // 3)
