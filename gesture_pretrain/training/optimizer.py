"""AdamW, gradient clipping and mixed precision, without steps on losses that are not finite."""

from collections.abc import Mapping
from contextlib import contextmanager
from typing import Annotated

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from gesture_pretrain.models.layer_decay import layer_scales
from gesture_pretrain.precision import autocast
from gesture_pretrain.processes import sum_over_processes
from gesture_pretrain.schema import PositiveFraction

Beta = Annotated[float, Field(ge=0, lt=1)]


def build_optimizer(
    model: nn.Module,
    *,
    lr: NonNegativeFloat = 1e-3,
    weight_decay: NonNegativeFloat = 0.05,
    betas: tuple[Beta, Beta] = (0.9, 0.999),
    eps: NonNegativeFloat = 1e-8,
    lr_scales: Mapping[str, float] | None = None,
    layer_decay: PositiveFraction | None = None,
    fused: bool = True,
) -> torch.optim.Optimizer:
    """Build AdamW (Loshchilov and Hutter 2019) with weight decay on matrices and kernels only.

    Biases, normalisation weights and parameters listed in a module's `no_weight_decay()`, such as
    the embeddings of timm models, are not decayed.

    Args:
        model: Model whose parameters with `requires_grad` are optimised.
        lr: Peak learning rate, which the schedule multiplies.
        weight_decay: Weight decay of matrices and kernels.
        betas: Decay rates of the two moments.
        eps: Constant added to the denominator.
        lr_scales: Factors on `lr` by prefix of the parameter name. The longest matching prefix
            applies; the default is 1. {"backbone.": 0.1} trains the backbone at a tenth of the
            learning rate.
        layer_decay: Factor on the learning rate from each layer of the backbone to the one below,
            see `layer_scales`; None for equal rates. It multiplies `lr_scales`.
        fused: Use the fused implementation, which takes a quarter of the time on a CPU. On CUDA it
            also lets the host run ahead, see `FiniteOptimWrapper`.

    Raises:
        ValueError: A learning rate or decay is out of range (from torch), a prefix matches no
            parameter, a factor is not above 0, or no network defines its layers.
    """
    groups = {}
    scales = _validate_scales(model, lr_scales or {})
    by_layer = {} if layer_decay is None else layer_scales(model, layer_decay)
    undecayed = undecayed_names(model)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = _scale_of(name, scales) * by_layer.get(name, 1.0)
            key = (name in undecayed, -scale)
            groups.setdefault(key, []).append(parameter)
    sections = [
        {
            "params": parameters,
            "weight_decay": 0.0 if plain else weight_decay,
            **({"lr_scale": -negative} if scales or by_layer else {}),
        }
        for (plain, negative), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    return torch.optim.AdamW(sections, lr=lr, betas=tuple(betas), eps=eps, fused=fused)


def undecayed_names(model: nn.Module) -> set[str]:
    """List the parameters without weight decay, see `build_optimizer`."""
    names = {name for name, parameter in model.named_parameters() if parameter.ndim <= 1}
    for place, module in model.named_modules():
        named = getattr(module, "no_weight_decay", None)
        if callable(named):
            names |= {f"{place}.{name}" if place else name for name in named()}
    return names


def _validate_scales(model: nn.Module, scales: Mapping[str, float]) -> Mapping[str, float]:
    names = [name for name, _ in model.named_parameters()]
    for prefix, scale in scales.items():
        if not any(name.startswith(prefix) for name in names):
            known = ", ".join(sorted({name.split(".")[0] + "." for name in names}))
            raise ValueError(
                f"optimizer.lr_scales: no parameter name begins with '{prefix}'. They begin with "
                f"{known}"
            )
        if not scale > 0:
            raise ValueError(
                f"optimizer.lr_scales['{prefix}'] is {scale}; it must be above 0. To exclude the "
                "backbone from training, set backbone.frozen=true."
            )
    return scales


def _scale_of(name: str, scales: Mapping[str, float]) -> float:
    matching = [prefix for prefix in scales if name.startswith(prefix)]
    return scales[max(matching, key=len)] if matching else 1.0


def build_optim_wrapper(
    optimizer: torch.optim.Optimizer,
    *,
    device: torch.device,
    precision: str,
    clip_norm: float | None,
) -> OptimWrapper:
    """Build the wrapper that mmengine's `train_step` drives.

    Args:
        optimizer: Takes the step.
        device: Device of the weights.
        precision: "fp32", "bf16" or "fp16", see `choose_precision`.
        clip_norm: Maximum L2 norm of the gradient. None for no clipping.
    """
    clip = None if clip_norm is None else {"max_norm": clip_norm}
    common = {"optimizer": optimizer, "clip_grad": clip}
    if precision == "fp16":
        # The gradient scaler itself skips steps whose gradients overflow.
        return AmpOptimWrapper(dtype="float16", **common)
    return FiniteOptimWrapper(device=device, precision=precision, **common)


class FiniteOptimWrapper(OptimWrapper):
    """Steps only on finite losses and gradient norms, consistently in all processes.

    With `deferred`, the device decides whether the step is taken, so that the host does not wait
    for the loss: the fused optimiser skips a step whose `found_inf` is set. The result is read
    later, from `verdict`.

    Args:
        device: Device of the weights.
        precision: "fp32" or "bf16".
        deferred: Never wait for the device. Requires a fused optimiser. Default: on CUDA with a
            fused optimiser.

    Attributes:
        verdict: Outcome of the last step, see `Verdict`.
        clipped: Whether the gradient of the last step was clipped, a scalar 0 or 1 on the device.
            None without clipping.
    """

    def __init__(
        self,
        *,
        device: torch.device,
        precision: str = "fp32",
        deferred: bool | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.device, self.precision = device, precision
        fused = bool(self.optimizer.defaults.get("fused"))
        self.deferred = device.type == "cuda" and fused if deferred is None else deferred
        if self.deferred and not fused:
            raise ValueError("a deferred check needs optimizer.fused=true")
        self.begin_step()

    @property
    def broken(self) -> str | None:
        """What was not finite in the last step: None, "loss" or "gradient". Waits for the step."""
        return self.verdict.read()

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast to the precision. bfloat16 needs no loss scaling."""
        with super().optim_context(model), autocast(self.precision, self.device):
            yield

    def update_params(self, loss: Tensor, step_kwargs=None, zero_kwargs=None) -> None:
        """Run backward and step, or neither if the loss is not finite in some process."""
        self.begin_step()
        self.add_loss(loss)
        self.finish_step()

    def begin_step(self) -> None:
        """Begin a step with one or several losses."""
        self._loss_broken: Tensor | None = None
        self.verdict, self.clipped = Verdict(None), None

    def add_loss(self, loss: Tensor) -> bool:
        """Run backward of a loss; skip it and return False if the loss is not finite."""
        # All processes must agree, or the others would wait in the all-reduce of the gradients.
        broken = sum_over_processes((~torch.isfinite(loss.detach())).float()) > 0
        before = self._loss_broken
        self._loss_broken = broken if before is None else before | broken
        if not self.deferred and bool(broken):
            return False
        self.backward(loss)
        return True

    def finish_step(self) -> None:
        """Clip and step, unless a loss or the gradient norm is not finite."""
        gradient_broken = torch.zeros_like(self._loss_broken)
        if self.deferred or not bool(self._loss_broken):
            norm = self._clipped_norm()
            if norm is not None:
                gradient_broken = ~torch.isfinite(norm)
                self.clipped = (norm > self.clip_grad_kwargs["max_norm"]).float()
            self._step_unless(self._loss_broken | gradient_broken)
        self.zero_grad()
        self.verdict = Verdict(torch.stack([self._loss_broken, gradient_broken]))

    def _clipped_norm(self) -> Tensor | None:
        if not self.clip_grad_kwargs:
            return None
        parameters = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
        return self.clip_func(parameters, **self.clip_grad_kwargs)

    def _step_unless(self, broken: Tensor) -> None:
        if self.deferred:
            self.optimizer.found_inf, self.optimizer.grad_scale = broken.float(), None
            self.optimizer.step()
        elif not bool(broken):
            self.optimizer.step()


class Verdict:
    """Outcome of a step, copied asynchronously from the device to the host.

    Args:
        flags: (2,) bool: the loss is not finite, the gradient is not finite. None if nothing
            was wrong.
    """

    def __init__(self, flags: Tensor | None):
        self._copied: torch.cuda.Event | None = None
        self._flags = flags
        if flags is not None and flags.is_cuda:
            self._flags = torch.empty(flags.shape, dtype=flags.dtype, pin_memory=True)
            self._flags.copy_(flags, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(flags.device))

    def read(self) -> str | None:
        """Return what was not finite: None, "loss" or "gradient". Waits for the step."""
        if self._copied is not None:
            self._copied.synchronize()
        if self._flags is None:
            return None
        loss, gradient = self._flags.tolist()
        return "loss" if loss else "gradient" if gradient else None
