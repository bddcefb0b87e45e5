"""AdamW, gradient clipping and mixed precision as mmengine optimiser wrappers that never take a
step on a number that is not finite."""

import math
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from .device import sum_over_processes

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def build_optimizer(
    model: nn.Module,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); biases and normalisation weights are not decayed.

    Args:
        model: its parameters with `requires_grad` are optimised.
        lr: peak learning rate; the schedule multiplies it.
        weight_decay: decay of matrices and kernels.
        betas: decay rates of the two moments.
        eps: added to the denominator.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=tuple(betas), eps=eps)


def choose_precision(name: str, device: torch.device) -> str:
    """Resolves "auto": bf16 on a CUDA device that has it, else fp32.

    Raises:
        ValueError: unknown name, or fp16 without CUDA (its loss scaling needs it).
    """
    if name not in PRECISIONS:
        raise ValueError(f"Unknown training.precision '{name}'. Possible: {', '.join(PRECISIONS)}.")
    if name == "fp16" and device.type != "cuda":
        raise ValueError("training.precision 'fp16' needs CUDA. Use 'fp32' or 'bf16' on the CPU.")
    if name == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    return name


def build_optim_wrapper(
    optimizer: torch.optim.Optimizer,
    *,
    device: torch.device,
    precision: str,
    clip_norm: float | None,
) -> OptimWrapper:
    """The wrapper mmengine's `train_step` drives.

    Args:
        optimizer: what takes the step.
        device: device of the weights.
        precision: "fp32", "bf16" or "fp16", see `choose_precision`.
        clip_norm: the gradient's L2 norm is clipped to this; None leaves it alone.
    """
    clip = None if clip_norm is None else {"max_norm": clip_norm}
    common = {"optimizer": optimizer, "clip_grad": clip}
    if precision == "fp16":
        # The scaler itself skips steps whose gradients overflow.
        return AmpOptimWrapper(dtype="float16", **common)
    return FiniteOptimWrapper(device_type=device.type, autocast=precision == "bf16", **common)


class FiniteOptimWrapper(OptimWrapper):
    """Steps only on finite losses and finite gradient norms, in all processes alike.

    Attributes:
        broken: None, "loss" or "gradient": what was not finite in the last call, on any process.
        grad_norm: L2 norm of the last gradient before clipping, None without clipping.
    """

    def __init__(self, *, device_type: str, autocast: bool, **kwargs):
        super().__init__(**kwargs)
        self.device_type = device_type
        self.autocast = autocast
        self.broken: str | None = None
        self.grad_norm: float | None = None

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast to bfloat16 where asked; no loss scaling is needed for its range."""
        with super().optim_context(model):
            with torch.autocast(self.device_type, torch.bfloat16, enabled=self.autocast):
                yield

    def update_params(self, loss: torch.Tensor, step_kwargs=None, zero_kwargs=None) -> None:
        """Backward and step, or neither where the loss is not finite on any process."""
        self.broken = None
        # Every process must agree, or the others would wait in the gradients' all-reduce.
        broken = sum_over_processes((~torch.isfinite(loss.detach())).float())
        if broken.item() > 0:
            self.broken = "loss"
            return
        super().update_params(loss, step_kwargs, zero_kwargs)

    def step(self, **kwargs) -> None:
        """Clips and steps; no step where the gradient's norm is not finite."""
        if self.clip_grad_kwargs:
            parameters = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
            self.grad_norm = float(self.clip_func(parameters, **self.clip_grad_kwargs))
            if not math.isfinite(self.grad_norm):
                self.broken = "gradient"
                return
        self.optimizer.step(**kwargs)
