"""Float32 for coordinates and angles, whatever the precision of earlier layers.

bfloat16 has 8 bits: next to cell 7 its steps are 1/32 cell, which is a pixel of the crop.
"""

import torch
from torch import Tensor


def at_least_float32(value: Tensor) -> Tensor:
    """Convert half precision to float32; leave other values unchanged."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
