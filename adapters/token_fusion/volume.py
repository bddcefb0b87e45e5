"""Volumetric head and 3D soft-argmax for the 2.5D joints.

Paper, section 3.2.1: a volumetric head predicts a 3D heatmap volume per joint; soft-argmax over it
gives (x, y, z), x and y in the image plane and z a depth relative to the wrist. `grid` says what
the coordinates mean. The head itself (3x3 convolution, norm, GELU, 1x1 convolution) and D = 16 are
our assumptions.

Letters: B batch, J joints, D, H', W' cells in depth, height and width.
"""

import torch
from torch import Tensor, nn

from gesture_pretrain.precision import at_least_float32


class VolumetricHead(nn.Module):
    """Map `F' (B, in_channels, H', W')` to scores `(B, J, D, H', W')`.

    Args:
        in_channels: 2C.
        hidden: Channels between the two convolutions.
        num_joints: J.
        depth_cells: D.
    """

    def __init__(
        self, in_channels: int, *, hidden: int = 256, num_joints: int = 21, depth_cells: int = 16
    ):
        super().__init__()
        self.num_joints, self.depth_cells = num_joints, depth_cells
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 3, padding=1),
            nn.GroupNorm(8, hidden),
            nn.GELU(),
            nn.Conv2d(hidden, num_joints * depth_cells, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        scores = self.layers(features)
        return scores.unflatten(1, (self.num_joints, self.depth_cells))


def soft_argmax_3d(scores: Tensor) -> Tensor:
    """Expected cell under a softmax over each volume: `(B, J, D, H', W')` to `(B, J, 3)`, x, y, z.

    Computes in float32 or better, whatever the precision of the scores.
    """
    scores = at_least_float32(scores)
    weights = scores.flatten(2).softmax(-1).view(scores.shape)
    sums = (weights.sum((2, 3)), weights.sum((2, 4)), weights.sum((3, 4)))  # over x, y, z
    return torch.stack([_expected_cell(one) for one in sums], dim=-1)


def _expected_cell(weights: Tensor) -> Tensor:
    """Average cells by weights `(..., N)` that sum to 1, to `(...)`, unaffected by autocast."""
    cells = torch.arange(weights.shape[-1], dtype=weights.dtype, device=weights.device)
    return (weights * cells).sum(-1)
