"""Batched rotation conversions in torch, with finite gradients everywhere.

The 6D form is *interleaved*: the first two columns of the matrix, written row by row, so that
entries 0, 2, 4 are the first column and 1, 3, 5 the second. EANet's heads use this order; Zhou et
al. write one column after the other.

Half-precision inputs are computed and returned in float32. There are no matrix products, so
autocast has no effect.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from gesture_pretrain.precision import at_least_float32

# Below this squared angle the Taylor series are exact to float64 rounding: the first omitted terms
# are (1e-4)**3 / 5040 and (1e-4)**3 / 40320.
_SMALL_SQUARED = 1e-4
_NORM_FLOOR = 1e-12


def matrix_from_axis_angle(axis_angle_rad: Tensor) -> Tensor:
    """Convert axis-angle vectors (..., 3), radians, to rotation matrices (..., 3, 3).

    Rodrigues' formula, with a finite gradient at every angle, including zero.
    """
    vector = at_least_float32(axis_angle_rad)
    squared = (vector * vector).sum(-1)
    small = squared < _SMALL_SQUARED
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    half_sine = torch.sin(angle / 2)
    # sin(a) / a and (1 - cos a) / a^2
    first = torch.where(small, 1 - squared / 6 * (1 - squared / 20), torch.sin(angle) / angle)
    second = torch.where(
        small, 0.5 - squared / 24 * (1 - squared / 30), 2 * (half_sine / angle) ** 2
    )
    outer = vector[..., :, None] * vector[..., None, :]
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    cosine = (1 - second * squared)[..., None, None]
    cross = _cross_matrix(vector)
    return cosine * identity + first[..., None, None] * cross + second[..., None, None] * outer


def axis_angle_from_matrix(rotation: Tensor) -> Tensor:
    """Convert rotation matrices (..., 3, 3) to axis-angle vectors (..., 3), angle in [0, pi].

    Uses the unit quaternion, starting from its largest component (Shepperd, "Quaternion from
    rotation matrix", 1978). Values and gradients are finite at the identity and at angle pi. At
    exactly pi, two opposite vectors represent the same rotation, and either may be returned.
    """
    candidates = _quaternion_outer_product(at_least_float32(rotation))
    largest = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)
    place = largest[..., None, None].expand(*largest.shape, 1, 4)
    quaternion = normalize(candidates.gather(-2, place).squeeze(-2), dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    scalar, vector = quaternion[..., :1], quaternion[..., 1:]
    squared = (vector * vector).sum(-1, keepdim=True)
    small = squared < _SMALL_SQUARED
    one = torch.ones_like(squared)
    length = torch.where(small, one, squared).sqrt()
    # angle / sin(angle / 2) = 2 atan(t) / (t w) with t = |v| / w; small |v| means w near 1
    tangent_squared = squared / torch.where(small, scalar, one) ** 2
    series = 1 - tangent_squared * (1 / 3 - tangent_squared * (1 / 5 - tangent_squared / 7))
    near = 2 * series / torch.where(small, scalar, one)
    return vector * torch.where(small, near, 2 * torch.atan2(length, scalar) / length)


def matrix_from_6d(six: Tensor) -> Tensor:
    """Convert the interleaved 6D form (..., 6) to rotation matrices (..., 3, 3) by Gram-Schmidt.

    Zhou et al., "On the continuity of rotation representations", CVPR 2019. The two vectors need
    not be normalised or orthogonal. Norms are clamped to at least 1e-12, so a zero vector yields a
    finite matrix, which is not a rotation.
    """
    columns = at_least_float32(six).unflatten(-1, (3, 2))
    first, second = columns[..., 0], columns[..., 1]
    x_axis = normalize(first, dim=-1, eps=_NORM_FLOOR)
    along = (x_axis * second).sum(-1, keepdim=True)
    y_axis = normalize(second - along * x_axis, dim=-1, eps=_NORM_FLOOR)
    return torch.stack([x_axis, y_axis, torch.linalg.cross(x_axis, y_axis)], dim=-1)


def rotation_6d_from_matrix(rotation: Tensor) -> Tensor:
    """Convert rotation matrices (..., 3, 3) to the interleaved 6D form (..., 6)."""
    return at_least_float32(rotation)[..., :2].flatten(-2)


def rotation_6d_from_axis_angle(axis_angle_rad: Tensor) -> Tensor:
    """Convert axis-angle vectors (..., 3), radians, to the interleaved 6D form (..., 6)."""
    return rotation_6d_from_matrix(matrix_from_axis_angle(axis_angle_rad))


def _cross_matrix(vector: Tensor) -> Tensor:
    """Build matrices (..., 3, 3) with ``_cross_matrix(v) @ w == cross(v, w)``."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def _quaternion_outer_product(matrix: Tensor) -> Tensor:
    """Compute 4 q q^T (..., 4, 4) of the quaternions q = (w, x, y, z), linear in the rotation."""
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = matrix.flatten(-2).unbind(-1)
    ww, xx = 1 + r00 + r11 + r22, 1 + r00 - r11 - r22
    yy, zz = 1 - r00 + r11 - r22, 1 - r00 - r11 + r22
    wx, wy, wz = r21 - r12, r02 - r20, r10 - r01
    xy, xz, yz = r01 + r10, r02 + r20, r12 + r21
    rows = [ww, wx, wy, wz, wx, xx, xy, xz, wy, xy, yy, yz, wz, xz, yz, zz]
    return torch.stack(rows, dim=-1).unflatten(-1, (4, 4))
