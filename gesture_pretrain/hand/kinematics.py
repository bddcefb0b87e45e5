"""MANO's forward kinematics and skinning from rotation matrices (Romero et al. 2017).

The same hand as `gesture_pretrain.hand.model`, which goes through smplx, but from rotation matrices
instead of axis angles, all fingers at once, with the skin of the five fingertips only where no mesh
is wanted, and of operations that torch compiles in one graph and writes as ONNX. The arrays of the
hand are no part of the state dict: a checkpoint holds nothing of a licensed model.

Letters: B batch, V vertices.
"""

import numpy as np
import torch
from torch import Tensor, nn

from gesture_pretrain.hand.model import HandMesh, HandModel
from gesture_pretrain.hand.rotation import matrix_from_axis_angle
from gesture_pretrain.skeleton import MANO21_FROM_MANO16_TIPS, PARENTS_MANO16, tip_vertices

_FINGERS, _JOINTS_PER_FINGER = 5, 3
# what `_chain` relies on: five chains of three joints, each on the root
_CHAINS = (-1, *(0 if j % 3 == 0 else j for j in range(15)))
assert PARENTS_MANO16 == _CHAINS


class ManoKinematics(nn.Module):
    """Rotations and shape of one hand to joints and mesh.

    Args:
        hand_model: The hand; its mean pose and its fingertips are taken over.
        dtype: Of the hand's arrays.

    Attributes:
        mean_pose: `(48,)` axis-angle, rad, that MANO adds to a pose; the root's is 0.
    """

    def __init__(self, hand_model: HandModel, *, dtype: torch.dtype = torch.float32):
        super().__init__()
        arrays = hand_model.blend_arrays()
        tips = list(tip_vertices(hand_model.tip_convention))
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
        self.register_buffer("tips", torch.tensor(tips), persistent=False)
        order = torch.tensor(MANO21_FROM_MANO16_TIPS)
        self.register_buffer("order", order, persistent=False)

    def forward(self, rotations: Tensor, shape: Tensor) -> HandMesh:
        """Joints `(B, 21, 3)` and mesh `(B, 778, 3)`, m, in the frame of the root rotation.

        Args:
            rotations: `(B, 16, 3, 3)`, mano16 order, mean pose included.
            shape: `(B, 10)`.
        """
        with torch.autocast(rotations.device.type, enabled=False):
            moves = self._moves(rotations, shape)
            vertices = self._skin(rotations, shape, moves, slice(None))
            return HandMesh(vertices, self._with_tips(moves[2], vertices[:, self.tips]))

    def of_pose(self, pose: Tensor, shape: Tensor) -> HandMesh:
        """As `forward`, from axis angles.

        Args:
            pose: `(B, 48)`, rad, minus the mean pose; shape: `(B, 10)`.
        """
        turned = matrix_from_axis_angle((pose + self.mean_pose).unflatten(1, (16, 3)))
        return self(turned, shape)

    def joints_m(self, rotations: Tensor, shape: Tensor) -> Tensor:
        """The joints alone, `(B, 21, 3)`, m, as `forward` gives them."""
        with torch.autocast(rotations.device.type, enabled=False):
            moves = self._moves(rotations, shape)
            return self._with_tips(moves[2], self._skin(rotations, shape, moves, self.tips))

    def _with_tips(self, joints: Tensor, tips: Tensor) -> Tensor:
        return torch.cat([joints, tips], dim=1)[:, self.order]

    def _moves(self, rotations: Tensor, shape: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Per joint the turn `(B, 16, 3, 3)` and shift `(B, 16, 3)` of the skin, and its place."""
        rest = self.rest_joints + torch.einsum("jik,bk->bji", self.rest_joints_dirs, shape)
        turns, places = _chain(rotations, rest)
        return turns, places - (turns @ rest[..., None]).squeeze(-1), places

    def _skin(self, rotations: Tensor, shape: Tensor, moves, which) -> Tensor:
        """Linear blend skinning of the vertices `which`: `(B, V, 3)`."""
        turns, shifts, _ = moves
        identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        bent = (rotations[:, 1:] - identity).flatten(1)
        posed = self.template[which] + torch.einsum("vik,bk->bvi", self.shape_dirs[which], shape)
        posed = posed + torch.einsum("pvi,bp->bvi", self.pose_dirs[:, which], bent)
        weights = self.weights[which]
        blended = torch.einsum("vj,bjik->bvik", weights, turns)
        return (blended @ posed[..., None]).squeeze(-1) + weights @ shifts


def _chain(rotations: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """Turns and places along the five fingers at once, mano16 order."""
    root = rotations[:, :1]
    local = rotations[:, 1:].unflatten(1, (_FINGERS, _JOINTS_PER_FINGER))
    fingers = rest[:, 1:].unflatten(1, (_FINGERS, _JOINTS_PER_FINGER))
    turn, place, before = root, rest[:, :1], rest[:, :1]
    turns, places = [], []
    for level in range(_JOINTS_PER_FINGER):
        place = place + (turn @ (fingers[:, :, level] - before)[..., None]).squeeze(-1)
        turn, before = turn @ local[:, :, level], fingers[:, :, level]
        turns.append(turn)
        places.append(place)
    turns, places = torch.stack(turns, dim=2).flatten(1, 2), torch.stack(places, dim=2)
    return torch.cat([root, turns], dim=1), torch.cat([rest[:, :1], places.flatten(1, 2)], dim=1)
