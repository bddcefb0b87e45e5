"""Check that a swapped backbone trains in the optimiser's first steps."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from adapters.swap.ledger import SwapLedger
from adapters.targets import SwapError
from gesture_pretrain.models.frozen_layers import frozen_parameter_names
from gesture_pretrain.names import first_few
from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.placement import unwrapped
from gesture_pretrain.weights.ledger import fingerprint

_MOST_OVERFLOWS = 20
_DECLARE_FROZEN = "If the backbone is frozen on purpose, declare it with frozen_backbone=True."
_NOT_READ = "The target does not read them, or detaches them."


class FirstStepCheck(Hook):
    """Raise `SwapError` unless the backbone is in the optimiser, gets gradients and changes.

    Before the first step, every backbone parameter must require a gradient and be in the optimiser.
    In the first step, every parameter must get a finite gradient, and the step must change them.
    Within `patience_steps`, every gradient must be non-zero once. (Not in the first step: a
    residual branch whose last batch norm starts at zero passes no gradient on.)

    Layers that the ledger declares frozen must not be in the optimiser and must not change. A
    run that continues from a checkpoint is past its first step, so only the optimiser is checked.

    Args:
        ledger: Ledger of the swap.
        out: Run folder, where `ledger.json` is updated; None to write nothing.
        patience_steps: Number of steps within which each gradient must have been non-zero.

    Attributes:
        ledger: Completed by the first step.
    """

    priority = "VERY_LOW"

    def __init__(self, ledger: SwapLedger, *, out: Path | None = None, patience_steps: int = 5):
        self.ledger, self.out, self.patience_steps = ledger, out, patience_steps
        self._steps = self._overflows = 0
        self._gradients: dict[str, float] | None = None  # of the step that was taken last
        self._nonzero: set[str] = set()
        self._watch: torch.utils.hooks.RemovableHandle | None = None

    def before_train(self, runner: Runner) -> None:
        optimizer = runner.optim_wrapper.optimizer
        backbone = unwrapped(runner.model).backbone
        names = frozen_parameter_names(backbone, self.ledger.frozen_backbone)
        self._frozen, self._parameters = {}, {}
        for name, parameter in backbone.net.named_parameters():
            (self._frozen if name in names else self._parameters)[name] = parameter
        check_optimizer(self._frozen, optimizer, frozen=True)
        check_optimizer(self._parameters, optimizer, frozen=False)
        if runner.iter == 0:
            self._before = self._fingerprints()
            self._watch = optimizer.register_step_pre_hook(self._note_gradients)

    def _note_gradients(self, *_) -> None:
        self._gradients = largest_gradients(self._parameters)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        gradients, self._gradients = self._gradients, None
        if self._watch is None or self._overflowed(runner, gradients):
            return
        runner.train_loop.settle()  # raises if the step was skipped, which is another problem
        self._steps += 1
        self._nonzero |= {name for name, largest in gradients.items() if largest > 0}
        if self._steps == 1:
            self._check_first_step(runner, gradients)
        silent = [name for name in self._parameters if name not in self._nonzero]
        if silent and self._steps < self.patience_steps:
            return
        self.after_train(runner)
        problem = f"had a gradient of exactly zero in each of the first {self._steps} steps"
        refuse(silent, self._parameters, problem, _NOT_READ)

    def after_train(self, runner) -> None:
        if self._watch is not None:
            self._watch.remove()
            self._watch = None

    def _overflowed(self, runner: Runner, gradients: Mapping[str, float] | None) -> bool:
        """Return whether gradients overflowed, for which a loss scaler skips the step."""
        if getattr(runner.optim_wrapper, "loss_scaler", None) is None:
            return False
        if gradients is not None and all(map(math.isfinite, gradients.values())):
            return False
        self._overflows += 1
        if self._overflows > _MOST_OVERFLOWS:
            raise SwapError(
                f"Gradients overflowed in each of the first {self._overflows} steps. Use "
                "training.precision=bf16 or fp32."
            )
        return True

    def _check_first_step(self, runner: Runner, gradients: Mapping[str, float]) -> None:
        check_gradients(self._parameters, gradients)
        after = self._fingerprints()
        for part, frozen in (("frozen", True), ("trained", False)):
            check_change(self._before[part], after[part], frozen=frozen, target=self.ledger.target)
        trunk = unwrapped(runner.model).backbone.net.state_dict()
        self.ledger = replace(
            self.ledger,
            after_first_step=fingerprint({f"net.{n}": value for n, value in trunk.items()}),
            first_step={
                "backbone_parameters": len(self._frozen) + len(self._parameters),
                "frozen_parameters": len(self._frozen),
                "with_gradient": len(gradients),
                "with_gradient_other_than_zero": len(self._nonzero),
                "parameters_before": self._before,
                "parameters_after": after,
            },
        )
        if self.out is not None and rank_and_world_size()[0] == 0:
            self.ledger.save(self.out)

    def _fingerprints(self) -> dict[str, str | None]:
        parts = {"frozen": self._frozen, "trained": self._parameters}
        return {name: fingerprint(part) if part else None for name, part in parts.items()}


def largest_gradients(parameters: Mapping[str, nn.Parameter]) -> dict[str, float]:
    """Return the largest absolute gradient of each parameter that has a gradient."""
    return {n: float(p.grad.abs().amax()) for n, p in parameters.items() if p.grad is not None}


def refuse(names: Collection[str], parameters: Collection[str], problem: str, remedy: str) -> None:
    """Raise `SwapError` if parameters of the backbone have a problem."""
    if names:
        raise SwapError(
            f"{len(names)} of {len(parameters)} backbone parameters {problem}: "
            f"{first_few(list(names))}. {remedy}"
        )


def check_optimizer(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, *, frozen: bool
) -> None:
    """Raise `SwapError` unless an optimiser trains parameters, or leaves frozen ones alone."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    outside = [name for name, p in parameters.items() if id(p) not in held]
    fixed = [name for name, p in parameters.items() if not p.requires_grad]
    if frozen:
        trained = [n for n in parameters if n not in outside or n not in fixed]
        problem = "would be trained, although they are declared frozen"
        refuse(trained, parameters, problem, "Leave them out of the optimiser.")
        return
    refuse(fixed, parameters, "are frozen (requires_grad=False)", _DECLARE_FROZEN)
    remedy = f"Build the optimiser after the swap. {_DECLARE_FROZEN}"
    refuse(outside, parameters, "are not in the optimiser", remedy)


def check_gradients(parameters: Mapping[str, nn.Parameter], gradients: Mapping[str, float]) -> None:
    """Raise `SwapError` unless every parameter got a finite gradient, see `largest_gradients`."""
    broken = [name for name, largest in gradients.items() if not math.isfinite(largest)]
    remedy = "Lower the learning rate or use fp32."
    refuse(broken, parameters, "got a gradient that is not finite", remedy)
    without = [name for name in parameters if name not in gradients]
    refuse(without, parameters, "got no gradient in the first step", _NOT_READ)


def check_change(before: str | None, after: str | None, *, frozen: bool, target: str) -> None:
    """Raise `SwapError` unless a step changed the fingerprint of layers that are not frozen.

    Args:
        before, after: Fingerprints of the layers; None if there are none.
        frozen: Whether they are declared frozen.
        target: Name of the target.
    """
    if before is None:
        return
    if frozen and before != after:
        raise SwapError(
            f"Layers of the backbone in {target} are declared frozen, but the first step changed "
            "them."
        )
    if not frozen and before == after:
        raise SwapError(
            f"The first step changed no parameter of the backbone in {target}. Check that its "
            f"learning rate is not 0. {_DECLARE_FROZEN}"
        )
