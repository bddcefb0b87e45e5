"""Small high-resolution networks for work without a GPU.

The classification head of timm's HRNet (128 to 1024 channels, then 2048) is three quarters of the
arithmetic of a narrow HRNet at 96 px. Here the trunk is timm's, with timm's parameter names; F_hi
comes from a light head instead: every branch is average-pooled to stride 32, the four are
concatenated (15 C channels), and one 1x1 convolution with batch norm and ReLU gives `final`.
"""

import torch
from timm.models.hrnet import HighResolutionNet
from torch import Tensor, nn

from gesture_pretrain.models.feature_levels import (
    FINAL,
    FeatureSpec,
    hrnet_branch_specs,
    hrnet_branches,
)


class SmallHRNet(HighResolutionNet):
    """timm's HRNet trunk with a light semantic head.

    Args:
        config: timm's HRNet configuration, see `architectures.hrnet_config`.
        final_channels: Channels of the `final` map at stride 32.
    """

    def __init__(self, config: dict, final_channels: int):
        super().__init__(config, num_classes=0, head="")
        self.feature_specs = hrnet_branch_specs(self)
        joined = sum(spec.channels for spec in self.feature_specs.values())
        self.final_layer = nn.Sequential(
            nn.Conv2d(joined, final_channels, 1, bias=False),
            nn.BatchNorm2d(final_channels),
            nn.ReLU(inplace=True),
        )
        nn.init.kaiming_normal_(self.final_layer[0].weight, mode="fan_out", nonlinearity="relu")
        self.feature_specs[FINAL] = FeatureSpec(final_channels, 32)
        self.num_features = self.head_hidden_size = final_channels

    def forward_levels(self, image: Tensor) -> dict[str, Tensor]:
        """Map `(B, 3, H, W)` to `stride4` ... `stride32` and `final`, as `feature_specs` says."""
        branches = hrnet_branches(self, image)
        levels = {f"stride{4 << i}": branch for i, branch in enumerate(branches)}
        pooled = [
            nn.functional.avg_pool2d(branch, 8 >> i) if i < 3 else branch
            for i, branch in enumerate(branches)
        ]
        levels[FINAL] = self.final_layer(torch.cat(pooled, dim=1))
        return levels

    def forward_features(self, x: Tensor) -> Tensor:
        """The `final` map `(B, C, H / 32, W / 32)`, as every timm model gives its last one."""
        return self.forward_levels(x)[FINAL]
