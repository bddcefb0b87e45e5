"""AdamW, gradient clipping and mixed precision as mmengine optimiser wrappers that never take a
step on a number that is not finite."""

import math
from collections.abc import Mapping
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
    lr_scales: Mapping[str, float] | None = None,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019); biases and normalisation weights are not decayed.

    Args:
        model: its parameters with `requires_grad` are optimised.
        lr: peak learning rate; the schedule multiplies it.
        weight_decay: decay of matrices and kernels.
        betas: decay rates of the two moments.
        eps: added to the denominator.
        lr_scales: layer-wise learning rates: factor on `lr` by the beginning of a parameter's
            name; the longest that fits counts, and 1 where none does. {"backbone.": 0.1} trains
            the backbone at a tenth of the rate.

    Raises:
        ValueError: a beginning that no parameter has, or a factor that is not above 0.
    """
    groups = {}
    scales = _checked_scales(model, lr_scales or {})
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decayed, scale = parameter.ndim > 1, _scale_of(name, scales)
        groups.setdefault((not decayed, -scale), []).append(parameter)
    sections = [
        {
            "params": parameters,
            "weight_decay": 0.0 if plain else weight_decay,
            **({"lr_scale": -negative} if scales else {}),
        }
        for (plain, negative), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    return torch.optim.AdamW(sections, lr=lr, betas=tuple(betas), eps=eps)


def _checked_scales(model: nn.Module, scales: Mapping[str, float]) -> Mapping[str, float]:
    names = [name for name, _ in model.named_parameters()]
    for prefix, scale in scales.items():
        if not any(name.startswith(prefix) for name in names):
            known = ", ".join(sorted({name.split(".")[0] + "." for name in names}))
            raise ValueError(
                f"optimizer.lr_scales: no parameter's name begins with '{prefix}'. They begin with "
                f"{known}"
            )
        if not scale > 0:
            raise ValueError(
                f"optimizer.lr_scales['{prefix}'] is {scale}; it must be above 0. What is not to "
                "train at all is frozen (backbone.frozen=true)."
            )
    return scales


def _scale_of(name: str, scales: Mapping[str, float]) -> float:
    fitting = [prefix for prefix in scales if name.startswith(prefix)]
    return scales[max(fitting, key=len)] if fitting else 1.0


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
