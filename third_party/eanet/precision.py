"""Coordinates and angles need float32, whatever the layers before them compute in.

bfloat16 has 8 bits: next to cell 7 its steps are 1/32 cell, which is a pixel of the crop.
"""

import torch
from torch import Tensor


def at_least_float32(value: Tensor) -> Tensor:
    """``value`` in float32 if it is of half precision, else as it is."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
