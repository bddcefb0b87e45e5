"""Numerical precision: which one a network runs in, and what stays in float32."""

import torch
from torch import Tensor

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def choose_precision(name: str, device: torch.device) -> str:
    """Resolve "auto": bf16 on a CUDA device that supports it, else fp32.

    Raises:
        ValueError: Unknown name, or fp16 without CUDA, whose loss scaling needs it.
    """
    if name not in PRECISIONS:
        raise ValueError(f"Unknown precision '{name}'. Possible: {', '.join(PRECISIONS)}.")
    if name == "fp16" and device.type != "cuda":
        raise ValueError("Precision 'fp16' needs CUDA. Use 'fp32' or 'bf16' on the CPU.")
    if name == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    return name


def autocast(name: str, device: torch.device) -> torch.autocast:
    """Run a network in a precision of `choose_precision`; what needs float32 opts out by itself."""
    chosen = choose_precision(name, device)
    dtype = torch.float16 if chosen == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=chosen != "fp32")


def at_least_float32(values: Tensor) -> Tensor:
    """Raise half precision to float32 and leave any other type as it is."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
