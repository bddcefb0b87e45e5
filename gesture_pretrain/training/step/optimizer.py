"""AdamW, gradient clipping and mixed precision as mmengine optimiser wrappers that never take a
step on a number that is not finite."""

from collections.abc import Mapping
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor, nn
from torch.distributed.optim import ZeroRedundancyOptimizer

from gesture_pretrain.training.device import rank_and_world_size, sum_over_processes

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def build_optimizer(
    model: nn.Module,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    lr_scales: Mapping[str, float] | None = None,
    fused: bool = True,
    sharded: bool = False,
) -> torch.optim.Optimizer:
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
        fused: one pass over all of a parameter's arrays: a quarter of the time of the other form on
            a CPU; on CUDA it also lets the host run ahead (see `FiniteOptimWrapper`).
        sharded: each process keeps the moments of its share of the parameters only (ZeRO stage 1,
            Rajbhandari et al. 2020); the same numbers. A single process keeps all of them.

    Raises:
        ValueError: a rate or decay out of range, a beginning that no parameter has, or a factor
            that is not above 0.
    """
    if not (lr >= 0 and weight_decay >= 0 and eps >= 0):
        raise ValueError(
            "optimizer.lr, optimizer.weight_decay and optimizer.eps must not be negative, "
            f"got {lr}, {weight_decay} and {eps}."
        )
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
    settings = {"lr": lr, "betas": tuple(betas), "eps": eps, "fused": fused}
    if sharded and rank_and_world_size()[1] > 1:
        return ZeroRedundancyOptimizer(sections, torch.optim.AdamW, **settings)
    return torch.optim.AdamW(sections, **settings)


def stepping_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """What takes the step in this process: the local part of a sharded optimiser, else itself."""
    return optimizer.optim if isinstance(optimizer, ZeroRedundancyOptimizer) else optimizer


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

    With `deferred` the device decides whether the step is taken, so that the host need not wait for
    the loss: the fused optimiser skips a step whose `found_inf` is set. What was found is then read
    later, from `verdict`.

    Args:
        device_type: "cpu" or "cuda".
        autocast: run the model in bfloat16.
        deferred: never wait for the device; needs a fused optimiser. None: on CUDA, where it can.

    Attributes:
        verdict: what the last step found, see `Verdict`.
    """

    def __init__(self, *, device_type: str, autocast: bool, deferred: bool | None = None, **kwargs):
        super().__init__(**kwargs)
        self.device_type, self.autocast = device_type, autocast
        fused = bool(stepping_optimizer(self.optimizer).defaults.get("fused"))
        self.deferred = device_type == "cuda" and fused if deferred is None else deferred
        if self.deferred and not fused:
            raise ValueError("a deferred check needs optimizer.fused=true")
        self.begin_step()

    @property
    def broken(self) -> str | None:
        """None, "loss" or "gradient": what was not finite in the last step; waits for it."""
        return self.verdict.read()

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Autocast to bfloat16 where asked; no loss scaling is needed for its range."""
        with super().optim_context(model):
            with torch.autocast(self.device_type, torch.bfloat16, enabled=self.autocast):
                yield

    def update_params(self, loss: Tensor, step_kwargs=None, zero_kwargs=None) -> None:
        """Backward and step, or neither where the loss is not finite on any process."""
        self.begin_step()
        self.add_loss(loss)
        self.finish_step()

    def begin_step(self) -> None:
        """Begins a step of one or several losses."""
        self._loss_broken: Tensor | None = None
        self.verdict = Verdict(None)

    def add_loss(self, loss: Tensor) -> bool:
        """Backward of a loss; False, and no backward, where it is known not to be finite."""
        # Every process must agree, or the others would wait in the gradients' all-reduce.
        broken = sum_over_processes((~torch.isfinite(loss.detach())).float()) > 0
        before = self._loss_broken
        self._loss_broken = broken if before is None else before | broken
        if not self.deferred and bool(broken):
            return False
        self.backward(loss)
        return True

    def finish_step(self) -> None:
        """Clips and steps; no step where a loss or the gradient's norm is not finite."""
        gradient_broken = torch.zeros_like(self._loss_broken)
        if self.deferred or not bool(self._loss_broken):
            norm = self._clipped_norm()
            if norm is not None:
                gradient_broken = ~torch.isfinite(norm)
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
            local = stepping_optimizer(self.optimizer)
            local.found_inf, local.grad_scale = broken.float(), None
            self.optimizer.step()
        elif not bool(broken):
            self.optimizer.step()


class Verdict:
    """What was found in a step, on its way from the device to the host.

    Args:
        flags: (2,) bool: the loss is not finite, the gradient is not finite; None: nothing found.
    """

    def __init__(self, flags: Tensor | None):
        self._copied: torch.cuda.Event | None = None
        self._flags = flags
        if flags is not None and flags.is_cuda:
            self._flags = torch.empty(flags.shape, dtype=flags.dtype, pin_memory=True)
            self._flags.copy_(flags, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()

    def read(self) -> str | None:
        """None, "loss" or "gradient"; waits until the step is done."""
        if self._copied is not None:
            self._copied.synchronize()
        if self._flags is None:
            return None
        loss, gradient = self._flags.tolist()
        return "loss" if loss else "gradient" if gradient else None
