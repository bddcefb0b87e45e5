"""MANO's forward kinematics and skinning from rotation matrices (Romero et al. 2017).

Computes the same hand as smplx, but from rotation matrices, and for all fingers at once. Without a
mesh, only the five fingertips are skinned. torch can compile the operations into one graph and
export them to ONNX. The arrays of the hand are not in the state dict, so a checkpoint contains
nothing of a licensed model.

Letters: B batch, V vertices.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gesture_pretrain.hand.rotation import matrix_from_axis_angle
from gesture_pretrain.skeleton import MANO21_FROM_MANO16_TIPS, PARENTS_MANO16, tip_vertices

_FINGERS, _JOINTS_PER_FINGER = 5, 3
# `_chain` requires five chains of three joints, each attached to the root
_CHAINS = (-1, *(0 if j % 3 == 0 else j for j in range(15)))
assert PARENTS_MANO16 == _CHAINS


class HandMesh(NamedTuple):
    """A posed hand, in the frame of the parameters that made it."""

    vertices_m: Tensor  # (B, 778, 3)
    joints_m: Tensor  # (B, 21, 3), mano21 order


class ManoKinematics(nn.Module):
    """Maps joint rotations and shape of one hand to joints and mesh.

    Args:
        arrays: The hand, see `HandModel.blend_arrays`.
        tip_convention: Fingertip vertices, see `skeleton.TIP_VERTICES`.
        dtype: Data type of the hand's arrays.

    Attributes:
        mean_pose: `(48,)` axis-angle, rad, which MANO adds to a pose. Zero for the root.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        tip_convention: str,
        *,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        regressor, shape_dirs = arrays["regressor"], arrays["shape_dirs"]
        buffers = {
            "rest_joints": regressor @ arrays["template_m"],
            "rest_joints_dirs": np.einsum("jv,vik->jik", regressor, shape_dirs),
            "template": arrays["template_m"],
            "shape_dirs": shape_dirs,
            "pose_dirs": arrays["pose_dirs"].reshape(135, -1, 3),
            "weights": arrays["weights"],
            "mean_pose": arrays["mean_pose"],
        }
        for name, values in buffers.items():
            tensor = torch.as_tensor(np.asarray(values)).to(dtype)
            self.register_buffer(name, tensor.contiguous(), persistent=False)
        tips = torch.tensor(tip_vertices(tip_convention))
        self.register_buffer("tips", tips, persistent=False)
        order = torch.tensor(MANO21_FROM_MANO16_TIPS)
        self.register_buffer("order", order, persistent=False)

    def forward(self, rotations: Tensor, shape: Tensor) -> HandMesh:
        """Compute joints `(B, 21, 3)` and mesh `(B, 778, 3)`, m, in the frame of the root rotation.

        Args:
            rotations: `(B, 16, 3, 3)`, mano16 order, including the mean pose.
            shape: `(B, 10)` shape coefficients.
        """
        with torch.autocast(rotations.device.type, enabled=False):
            moves = self._moves(rotations, shape)
            vertices = self._skin(rotations, shape, moves, slice(None))
            return HandMesh(vertices, self._with_tips(moves[2], vertices[:, self.tips]))

    def of_pose(self, pose: Tensor, shape: Tensor) -> HandMesh:
        """Compute the same as `forward` from axis angles.

        Args:
            pose: `(B, 48)`, rad, relative to the mean pose.
            shape: `(B, 10)` shape coefficients.
        """
        rotations = matrix_from_axis_angle((pose + self.mean_pose).unflatten(1, (16, 3)))
        return self(rotations, shape)

    def joints_m(self, rotations: Tensor, shape: Tensor) -> Tensor:
        """Compute the joints `(B, 21, 3)` of `forward`, m, without the mesh."""
        with torch.autocast(rotations.device.type, enabled=False):
            moves = self._moves(rotations, shape)
            return self._with_tips(moves[2], self._skin(rotations, shape, moves, self.tips))

    def _with_tips(self, joints: Tensor, tips: Tensor) -> Tensor:
        return torch.cat([joints, tips], dim=1)[:, self.order]

    def _moves(self, rotations: Tensor, shape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute rotation `(B, 16, 3, 3)` and shift of the skin, and position, for each joint."""
        rest = self.rest_joints + torch.einsum("jik,bk->bji", self.rest_joints_dirs, shape)
        chained, positions = _chain(rotations, rest)
        return chained, positions - (chained @ rest[..., None]).squeeze(-1), positions

    def _skin(self, rotations: Tensor, shape: Tensor, moves, which) -> Tensor:
        """Skin the vertices `which` by linear blending: `(B, V, 3)`."""
        chained, shifts, _ = moves
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        bent = (rotations[:, 1:] - identity).flatten(1)
        posed = self.template[which] + torch.einsum("vik,bk->bvi", self.shape_dirs[which], shape)
        posed = posed + torch.einsum("pvi,bp->bvi", self.pose_dirs[:, which], bent)
        weights = self.weights[which]
        blended = torch.einsum("vj,bjik->bvik", weights, chained)
        return (blended @ posed[..., None]).squeeze(-1) + weights @ shifts


def _chain(rotations: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """Accumulate rotations and positions along all five fingers at once, mano16 order."""
    root = rotations[:, :1]
    local = rotations[:, 1:].unflatten(1, (_FINGERS, _JOINTS_PER_FINGER))
    fingers = rest[:, 1:].unflatten(1, (_FINGERS, _JOINTS_PER_FINGER))
    rotation, position, before = root, rest[:, :1], rest[:, :1]
    rotated, positions = [], []
    for level in range(_JOINTS_PER_FINGER):
        bone = fingers[:, :, level] - before
        position = position + (rotation @ bone[..., None]).squeeze(-1)
        rotation, before = rotation @ local[:, :, level], fingers[:, :, level]
        rotated.append(rotation)
        positions.append(position)
    rotated = torch.stack(rotated, dim=2).flatten(1, 2)
    positions = torch.stack(positions, dim=2).flatten(1, 2)
    return torch.cat([root, rotated], dim=1), torch.cat([rest[:, :1], positions], dim=1)
