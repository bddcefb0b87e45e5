"""Coordinates keep float32 where the network around them is in half precision."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision to float32; anything else as it is."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
