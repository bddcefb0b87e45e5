"""Small high-resolution networks for CPU training.

In a narrow HRNet at 96 px, timm's classification head (128 to 1024 channels, then 2048) accounts
for three quarters of the arithmetic. These networks keep timm's trunk and parameter names, but
compute F_hi with a light head: every branch is average-pooled to stride 32, the four are
concatenated (15 C channels), and a 1x1 convolution with batch norm and ReLU produces `final`.
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
        """Map `(B, 3, H, W)` to the levels of `feature_specs`."""
        branches = hrnet_branches(self, image)
        levels = {f"stride{4 << i}": branch for i, branch in enumerate(branches)}
        pooled = [
            nn.functional.avg_pool2d(branch, 8 >> i) if i < 3 else branch
            for i, branch in enumerate(branches)
        ]
        levels[FINAL] = self.final_layer(torch.cat(pooled, dim=1))
        return levels

    def forward_features(self, x: Tensor) -> Tensor:
        """Compute the `final` map `(B, C, H / 32, W / 32)`."""
        return self.forward_levels(x)[FINAL]
