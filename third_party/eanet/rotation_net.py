"""EANet's rotation network: MANO parameters from hand features and joints."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from eanet.gesture_logits import GestureFusion
from eanet.layers.attention import SelfAttentionBlock
from eanet.layers.conv_bn import conv_bn
from eanet.layers.precision import at_least_float32
from eanet.position_net import HandFeatures

NUM_ROOT, NUM_FINGERS, NUM_SHAPE, NUM_CAMERA = 6, 90, 10, 3


class ManoRegression(NamedTuple):
    """Output of the rotation network, rotations in 6D."""

    rroot_pose_6d: Tensor  # (B, 6)
    rpose_6d: Tensor  # (B, 90), 15 joints in MANO order
    rshape: Tensor  # (B, 10)
    rcam: Tensor  # (B, 3)
    lroot_pose_6d: Tensor
    lpose_6d: Tensor
    lshape: Tensor
    lcam: Tensor
    rel_trans: Tensor  # (B, 3) m, left wrist minus right wrist


def sample_joint_features(features: Tensor, joints_cells: Tensor) -> Tensor:
    """Features under the joints, bilinear; an integer index is the cell, zeros outside.

    Args:
        features: (B, C, H, W), H and W at least 2.
        joints_cells: (B, J, 2) x (column) and y (row), in cells.

    Returns:
        (B, J, C), of the features' type; the sampling itself is done in that of the joints.
    """
    height, width = features.shape[2:]
    x, y = joints_cells.unbind(-1)
    # Python numbers, not a tensor of them: a copy to a GPU would make the host wait
    where = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1).unsqueeze(2)
    sampled = nn.functional.grid_sample(
        features.to(where).contiguous(),  # cuDNN's sampler takes no channels-last strides
        where,
        mode="bilinear",
        padding_mode="zeros",
        align_corners=True,
    )
    return sampled.squeeze(3).mT.to(features)


class JointTransformer(nn.Module):
    """Self-attention among the joints of one hand."""

    def __init__(
        self, *, width: int, num_joints: int, num_heads: int, depth: int, mlp_ratio: int
    ) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(1, num_joints, width))
        self.blocks = nn.ModuleList(
            SelfAttentionBlock(width, num_heads, mlp_ratio) for _ in range(depth)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, J, C) to (B, J, C)."""
        tokens = tokens + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class RotationNet(nn.Module):
    """MANO parameters of both hands and the translation between them."""

    def __init__(
        self,
        *,
        width: int,
        num_joints: int,
        num_heads: int,
        depth: int,
        mlp_ratio: int,
        gesture_fusion: GestureFusion | None,
    ) -> None:
        super().__init__()
        joint_transformer = {
            "width": width,
            "num_joints": num_joints,
            "num_heads": num_heads,
            "depth": depth,
            "mlp_ratio": mlp_ratio,
        }
        pose_features = num_joints * (width + 3)
        self.right_reduce, self.left_reduce = conv_bn(2 * width, width), conv_bn(2 * width, width)
        self.right_shape = nn.Linear(2 * width, NUM_SHAPE)
        self.right_camera = nn.Linear(2 * width, NUM_CAMERA)
        self.left_shape = nn.Linear(2 * width, NUM_SHAPE)
        self.left_camera = nn.Linear(2 * width, NUM_CAMERA)
        self.right_transformer = JointTransformer(**joint_transformer)
        self.left_transformer = JointTransformer(**joint_transformer)
        self.relative_translation = nn.Sequential(
            nn.Linear(4 * width, width), nn.ReLU(inplace=True), nn.Linear(width, 3)
        )
        self.right_root = nn.Linear(pose_features, NUM_ROOT)
        self.right_fingers = nn.Linear(pose_features, NUM_FINGERS)
        self.left_root = nn.Linear(pose_features, NUM_ROOT)
        self.left_fingers = nn.Linear(pose_features, NUM_FINGERS)
        self.gesture_fusion = gesture_fusion

    def forward(
        self,
        features: HandFeatures,
        right_cells: Tensor,
        left_cells: Tensor,
        gesture_logits: tuple[Tensor, Tensor] | None = None,
    ) -> ManoRegression:
        """Regress the parameters.

        Args:
            features: Maps (B, 2 C, H, W).
            right_cells, left_cells: (B, J, 3) in cells. No gradient flows through them.
            gesture_logits: Coarse (B, M) and fine (B, S); with a gesture fusion only.
        """
        right_cells, left_cells = right_cells.detach(), left_cells.detach()
        right = sample_joint_features(self.right_reduce(features.right), right_cells[..., :2])
        left = sample_joint_features(self.left_reduce(features.left), left_cells[..., :2])
        if self.gesture_fusion is not None:
            right, left = self.gesture_fusion(right, left, *gesture_logits)
        right, left = self.right_transformer(right), self.left_transformer(left)
        # a bfloat16 rotation is off by up to 0.4 %, a millimetre at a fingertip
        with torch.autocast(right.device.type, enabled=False):
            return self._regression(features, (right, left), (right_cells, left_cells))

    def _regression(
        self,
        features: HandFeatures,
        tokens: tuple[Tensor, Tensor],
        cells: tuple[Tensor, Tensor],
    ) -> ManoRegression:
        right, left = (_append(*of_one) for of_one in zip(tokens, cells, strict=True))
        right_mean, left_mean = (at_least_float32(one).mean(dim=(2, 3)) for one in features)
        return ManoRegression(
            rroot_pose_6d=self.right_root(right),
            rpose_6d=self.right_fingers(right),
            rshape=self.right_shape(right_mean),
            rcam=self.right_camera(right_mean),
            lroot_pose_6d=self.left_root(left),
            lpose_6d=self.left_fingers(left),
            lshape=self.left_shape(left_mean),
            lcam=self.left_camera(left_mean),
            rel_trans=self.relative_translation(torch.cat([right_mean, left_mean], dim=1)),
        )


def _append(tokens: Tensor, cells: Tensor) -> Tensor:
    """Map (B, J, C) and (B, J, 3) to (B, J * (C + 3)), each joint's features before its x, y, z."""
    return torch.cat([at_least_float32(tokens), cells], dim=-1).flatten(1)
