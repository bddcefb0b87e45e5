"""6D rotations to axis-angle (Zhou et al., "On the Continuity of Rotation Representations", 2019).

The 6 numbers are a 3x2 matrix in row-major order: the first column is entries 0, 2, 4, the second
1, 3, 5. Gradients are finite everywhere, at the identity and at half turns too.
"""

import torch
from torch import Tensor

from eanet.layers.precision import at_least_float32
from eanet.quirks import CORRECT, Quirks

_NORM_FLOOR = 1e-12
_BRANCH_EPS = 1e-6


def axis_angle_from_6d(rotation_6d: Tensor, *, quirks: Quirks = CORRECT) -> Tensor:
    """Axis-angle vectors of 6D rotations.

    Args:
        rotation_6d: (N, 6), any scale.
        quirks: ``cross_over_batch_of_three`` and ``nan_predictions_as_zero`` apply.

    Returns:
        (N, 3) rad, angle in [0, pi]; float32 or better.
    """
    _require_width(rotation_6d, 6)
    over_batch = quirks.cross_over_batch_of_three and rotation_6d.shape[0] == 3
    matrix = _matrix_from_6d(at_least_float32(rotation_6d), cross_dim=0 if over_batch else 1)
    axis_angle = axis_angle_from_matrix(matrix)
    if quirks.nan_predictions_as_zero:
        axis_angle = torch.where(axis_angle.isnan(), 0.0, axis_angle)
    return axis_angle


def matrix_from_6d(rotation_6d: Tensor) -> Tensor:
    """Map (N, 6) to (N, 3, 3), by Gram-Schmidt on the two columns."""
    _require_width(rotation_6d, 6)
    return _matrix_from_6d(rotation_6d, cross_dim=1)


def axis_angle_from_matrix(matrix: Tensor) -> Tensor:
    """Map (N, 3, 3) to (N, 3) rad, angle in [0, pi]."""
    return _axis_angle_from_quaternion(_quaternion_from_matrix(matrix))


def _require_width(value: Tensor, width: int) -> None:
    if value.ndim != 2 or value.shape[1] != width:
        raise ValueError(f"expected rotations (N, {width}), not {tuple(value.shape)}")


def _normalise(vector: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vector, dim=-1, eps=_NORM_FLOOR)


def _matrix_from_6d(rotation_6d: Tensor, *, cross_dim: int) -> Tensor:
    first, second = rotation_6d.unflatten(-1, (3, 2)).unbind(-1)
    first = _normalise(first)
    second = _normalise(second - (first * second).sum(-1, keepdim=True) * first)
    third = torch.linalg.cross(first, second, dim=cross_dim)
    return torch.stack([first, second, third], dim=-1)


def _quaternion_from_matrix(matrix: Tensor) -> Tensor:
    """Map (N, 3, 3) to (N, 4), scalar first; the divisor is never small (Shepperd, 1978)."""
    r00, r11, r22 = matrix.diagonal(dim1=-2, dim2=-1).unbind(-1)
    x, y, z = (
        matrix[..., a, b] - matrix[..., b, a] for a, b in ((2, 1), (0, 2), (1, 0))
    )  # 4 w times the vector part
    xy, yz, zx = (matrix[..., a, b] + matrix[..., b, a] for a, b in ((0, 1), (1, 2), (2, 0)))
    # each candidate is 4 q_i q for one component i, and q_i * 4 * q_i stands at place i
    candidates = torch.stack(
        [
            torch.stack([x, 1 + r00 - r11 - r22, xy, zx], -1),
            torch.stack([y, xy, 1 - r00 + r11 - r22, yz], -1),
            torch.stack([z, zx, yz, 1 - r00 - r11 + r22], -1),
            torch.stack([1 + r00 + r11 + r22, x, y, z], -1),
        ],
        dim=-2,
    )
    low = torch.where(r00 > r11, 0, 1)
    high = torch.where(r00 < -r11, 2, 3)
    branch = torch.where(r22 < _BRANCH_EPS, low, high)[..., None, None]
    chosen = candidates.gather(-2, branch.expand(*branch.shape[:-1], 4)).squeeze(-2)
    place = torch.where(branch == 3, 0, branch + 1).squeeze(-1)
    return 0.5 * chosen / chosen.gather(-1, place).sqrt()


def _axis_angle_from_quaternion(quaternion: Tensor) -> Tensor:
    """Map (N, 4), scalar first to (N, 3) rad."""
    cosine, vector = quaternion[..., :1], quaternion[..., 1:]
    sine_squared = vector.square().sum(-1, keepdim=True)
    no_turn = sine_squared == 0
    # an inner where, so that the root's infinite slope at 0 does not reach the gradient
    sine = torch.where(no_turn, 1.0, sine_squared).sqrt()
    angle = 2 * torch.where(
        cosine < 0, torch.atan2(-sine, -cosine), torch.atan2(sine, cosine)
    )  # for a negative scalar part this is the negative angle of the opposite axis
    return vector * torch.where(no_turn, 2.0, angle / sine)
