"""Joint coordinates from volumetric heat maps (Sun et al., "Integral Human Pose", ECCV 2018)."""

import torch
from torch import Tensor

from eanet.layers.precision import at_least_float32


def soft_argmax_3d(heatmaps: Tensor) -> Tensor:
    """Expected cell index under the softmax over all cells of a joint.

    Cells are counted from 0 at their index, not at their centre, so the result lies in
    [0, W - 1], [0, H - 1], [0, D - 1]: a joint in the last cell's far half cannot be reached.
    Upstream's checkpoints were trained this way.

    Args:
        heatmaps: (B, J, D, H, W) scores: depth, row, column.

    Returns:
        (B, J, 3): x (column), y (row), z (depth), in cells; float32 or better.
    """
    heatmaps = at_least_float32(heatmaps)
    probability = heatmaps.flatten(2).softmax(dim=2).view_as(heatmaps)
    return torch.stack(
        [
            _expected_index(probability.sum(dim=(2, 3))),
            _expected_index(probability.sum(dim=(2, 4))),
            _expected_index(probability.sum(dim=(3, 4))),
        ],
        dim=-1,
    )


def _expected_index(probability: Tensor) -> Tensor:
    """Map (B, J, N) to (B, J)."""
    index = torch.arange(probability.shape[-1], device=probability.device, dtype=probability.dtype)
    return (probability * index).sum(-1)  # a matrix product would be rounded under autocast
