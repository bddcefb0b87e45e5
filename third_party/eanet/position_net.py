"""EANet's position network: features and 2.5D joints of each hand from the backbone's map."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from eanet.layers.conv_bn import conv_bn
from eanet.layers.fuse_former import FuseFormer
from eanet.layers.soft_argmax import soft_argmax_3d


class HandFeatures(NamedTuple):
    """Feature maps (B, 2 C, H, W) of both hands."""

    right: Tensor
    left: Tensor


class ExtractAdapt(nn.Module):
    """Extract features shared by both hands, then adapt them to each (the paper's EABlock).

    There is no residual connection around the three FuseFormers.
    """

    def __init__(self, *, backbone_channels: int, width: int, **fuse_former: int) -> None:
        super().__init__()
        self.left_stem = conv_bn(backbone_channels, width)
        self.right_stem = conv_bn(backbone_channels, width)
        self.extract = FuseFormer(width=width, **fuse_former)
        self.adapt_right = FuseFormer(width=width, **fuse_former)
        self.adapt_left = FuseFormer(width=width, **fuse_former)
        self.left_out = conv_bn(2 * width, 2 * width)
        self.right_out = conv_bn(2 * width, 2 * width)

    def forward(self, features: Tensor) -> HandFeatures:
        """Map (B, backbone_channels, H, W) to two maps (B, 2 C, H, W)."""
        right, left = self.right_stem(features), self.left_stem(features)
        shared = self.extract(right, left)
        right_shared, left_shared = self.adapt_right(right, shared), self.adapt_left(left, shared)
        return HandFeatures(
            right=self.right_out(torch.cat([right, right_shared], dim=1)),
            left=self.left_out(torch.cat([left, left_shared], dim=1)),
        )


class PositionNet(nn.Module):
    """Hand features and 2.5D joints."""

    def __init__(
        self,
        *,
        backbone_channels: int,
        width: int,
        num_joints: int,
        depth_cells: int,
        **fuse_former: int,
    ) -> None:
        super().__init__()
        self.volume = (num_joints, depth_cells)
        self.extract_adapt = ExtractAdapt(
            backbone_channels=backbone_channels, width=width, **fuse_former
        )
        self.right_heatmap = nn.Conv2d(2 * width, num_joints * depth_cells, kernel_size=1)
        self.left_heatmap = nn.Conv2d(2 * width, num_joints * depth_cells, kernel_size=1)

    def forward(self, features: Tensor) -> tuple[HandFeatures, Tensor, Tensor]:
        """Compute features and joints.

        Args:
            features: (B, backbone_channels, H, W).

        Returns:
            The maps, then the right and the left hand's joints (B, J, 3) in heat-map cells: x, y,
            and depth relative to the same hand's wrist.
        """
        hands = self.extract_adapt(features)
        right = self.right_heatmap(hands.right).unflatten(1, self.volume)
        left = self.left_heatmap(hands.left).unflatten(1, self.volume)
        return hands, soft_argmax_3d(right), soft_argmax_3d(left)
