"""The perceptron of all options, and the precision of their losses."""

import torch
from torch import Tensor, nn


def build_mlp(in_channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    """Build Linear, LayerNorm, GELU, Linear, which act on the last axis.

    LayerNorm instead of batch norm, so that the result does not depend on the number of processes.
    """
    return nn.Sequential(
        nn.Linear(in_channels, hidden),
        nn.LayerNorm(hidden),
        nn.GELU(),
        nn.Linear(hidden, out_channels),
    )


def full_precision(like: Tensor) -> torch.autocast:
    """Turn autocast off on the device of a tensor."""
    return torch.autocast(like.device.type, enabled=False)
