"""One token per joint: the image feature at the joint, projected to the fusion's width.

Paper, sections 3.2.1 and 3.2.2: F' is sampled at the joints' (x, y) with grid_sample; the tokens
are projected linearly and get a learnable positional encoding. d = 512 is our assumption.

Letters: B batch, J joints, C projected channels, d width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adapters.token_fusion.grid import VolumeGrid
from gesture_pretrain.precision import at_least_float32


class JointTokens(nn.Module):
    """Map `F' (B, 2C, H', W')` and joints `(B, J, 3)` in cells to tokens `(B, J, d)`.

    Args:
        in_channels: 2C.
        width: Token width d.
        grid: Grid of the joints' coordinates.
        num_joints: J.
        coordinate_gradient: Pass the gradient to the joints' positions. EANet has none
            there; the paper leaves it open.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        grid: VolumeGrid,
        num_joints: int = 21,
        coordinate_gradient: bool = True,
    ):
        super().__init__()
        self.coordinate_gradient = coordinate_gradient
        self.grid = grid
        self.project = nn.Linear(in_channels, width)
        self.position = nn.Parameter(0.02 * torch.randn(1, num_joints, width))

    def forward(self, features: Tensor, joints_cells: Tensor) -> Tensor:
        if not self.coordinate_gradient:
            joints_cells = joints_cells.detach()
        sampled = sample_at_joints(features, joints_cells[..., :2], self.grid)
        return self.project(sampled) + self.position


def sample_at_joints(features: Tensor, xy_cells: Tensor, grid: VolumeGrid) -> Tensor:
    """Sample `(B, C, H', W')` bilinearly at cells `(B, J, 2)`: `(B, J, C)`."""
    features = at_least_float32(features)
    places = grid.sampling_from_cells(xy_cells)[:, :, None].to(features.dtype)
    sampled = F.grid_sample(features, places, align_corners=False)  # (B, C, J, 1)
    return sampled.squeeze(3).transpose(1, 2)
