"""Check that a swapped backbone trains in the optimiser's first steps."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from adapters.swap.ledger import SwapLedger
from adapters.targets import SwapError
from gesture_pretrain.names import first_few
from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.placement import unwrapped
from gesture_pretrain.weights.ledger import fingerprint

_MOST_OVERFLOWS = 20
_DECLARE_FROZEN = "If the backbone is frozen on purpose, declare it with frozen_backbone=True."
_NOT_READ = "The target does not read them, or detaches them."


class FirstStepCheck(Hook):
    """Raise `SwapError` unless the backbone is in the optimiser, gets gradients and changes.

    Before the first step: every backbone parameter requires a gradient and is in the optimiser.
    After it: every one got a gradient, all are finite, and the parameters' fingerprint changed.
    Within `patience_steps`: every one got a gradient that is not all zero. (Not at once: a residual
    branch whose last batch norm starts at zero passes no gradient on in the very first step.)

    A backbone that the ledger declares frozen must not change, and no parameter of it may be in
    the optimiser. A run that continues from a checkpoint is not at its first step; there only the
    optimiser is checked.

    Args:
        ledger: Ledger of the swap.
        out: Run folder, where `ledger.json` is updated; None to write nothing.
        patience_steps: Number of steps within which each gradient must have been non-zero.

    Attributes:
        ledger: Completed by the first step.
    """

    priority = "VERY_LOW"

    def __init__(self, ledger: SwapLedger, *, out: Path | None = None, patience_steps: int = 5):
        self.ledger, self.out = ledger, out
        self.patience_steps = patience_steps
        self._steps_seen, self._overflows, self._active = 0, 0, False
        self._largest: dict[str, float] = {}  # name -> largest absolute gradient so far
        self._broken: list[str] = []
        self._watches: list = []

    def before_train(self, runner: Runner) -> None:
        parameters, frozen = self._parameters(runner), self.ledger.frozen_backbone
        check_optimizer(parameters, runner.optim_wrapper.optimizer, frozen=frozen)
        self._active = runner.iter == 0
        if not self._active:
            return
        self._before = fingerprint(parameters)
        if not frozen:
            self._watches = [
                parameter.register_post_accumulate_grad_hook(self._watch(name))
                for name, parameter in parameters.items()
            ]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if not self._active or self._overflowed(runner):
            return
        settle = getattr(getattr(runner, "train_loop", None), "settle", None)
        if settle is not None:
            settle()  # a skipped step does not show that the backbone does not train
        self._steps_seen += 1
        parameters = self._parameters(runner)
        if self._steps_seen == 1:
            self._check_first_step(parameters, runner)
        silent = [] if self.ledger.frozen_backbone else sorted(set(parameters) - self._moved())
        if silent and self._steps_seen < self.patience_steps:
            return
        self.after_train(runner)
        problem = f"had a gradient of exactly zero in each of the first {self._steps_seen} steps"
        refuse(silent, parameters, problem, _NOT_READ)

    def after_train(self, runner) -> None:
        self._active = False
        while self._watches:
            self._watches.pop().remove()

    def _parameters(self, runner: Runner) -> dict[str, nn.Parameter]:
        """Return the backbone's parameters under timm's names."""
        return dict(unwrapped(runner.model).backbone.net.named_parameters())

    def _watch(self, name: str):
        def look(parameter: Tensor) -> None:
            largest = float(parameter.grad.abs().amax())
            if not math.isfinite(largest):
                self._broken.append(name)
                largest = 0.0
            self._largest[name] = max(largest, self._largest.get(name, 0.0))

        return look

    def _moved(self) -> set[str]:
        return {name for name, largest in self._largest.items() if largest > 0}

    def _overflowed(self, runner: Runner) -> bool:
        """Return whether gradients overflowed, for which a loss scaler skips the step."""
        if not self._broken or getattr(runner.optim_wrapper, "loss_scaler", None) is None:
            return False
        self._overflows += 1
        if self._overflows > _MOST_OVERFLOWS:
            raise SwapError(
                f"The backbone's gradient overflowed {self._overflows} times in a row: "
                f"{first_few(self._broken)}. Use training.precision=bf16 or fp32."
            )
        self._broken = []
        return True

    def _check_first_step(self, parameters: dict[str, nn.Parameter], runner: Runner) -> None:
        after, frozen = fingerprint(parameters), self.ledger.frozen_backbone
        if not frozen:
            remedy = "Lower the learning rate or use fp32."
            refuse(self._broken, parameters, "got a gradient that is not finite", remedy)
            without = sorted(set(parameters) - set(self._largest))
            refuse(without, parameters, "got no gradient in the first step", _NOT_READ)
        check_change(self._before, after, frozen=frozen, target=self.ledger.target)
        trunk = unwrapped(runner.model).backbone.net.state_dict()
        self.ledger = self.ledger.with_first_step(
            fingerprint({f"net.{name}": value for name, value in trunk.items()}),
            {
                "backbone_parameters": len(parameters),
                "with_gradient": len(self._largest),
                "with_gradient_other_than_zero": len(self._moved()),
                "parameters_before": self._before,
                "parameters_after": after,
            },
        )
        if self.out is not None and rank_and_world_size()[0] == 0:
            self.ledger.save(self.out)


def refuse(names: Collection[str], parameters: Collection[str], problem: str, remedy: str) -> None:
    """Raise `SwapError` if parameters of the backbone have a problem."""
    if names:
        raise SwapError(
            f"{len(names)} of {len(parameters)} backbone parameters {problem}: "
            f"{first_few(list(names))}. {remedy}".rstrip()
        )


def check_optimizer(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, *, frozen: bool
) -> None:
    """Check that an optimiser trains a backbone, or does not if it is frozen on purpose.

    Args:
        parameters: Parameters of the backbone, by name.
        optimizer: The optimiser.
        frozen: The backbone is frozen on purpose.

    Raises:
        SwapError: Parameters do not require a gradient or are not in the optimiser.
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    outside = [name for name, p in parameters.items() if id(p) not in held]
    fixed = [name for name, p in parameters.items() if not p.requires_grad]
    if frozen:
        trained = [n for n in parameters if n not in outside or n not in fixed]
        problem = "would be trained, although the backbone is declared frozen"
        refuse(trained, parameters, problem, "Leave them out of the optimiser.")
        return
    refuse(fixed, parameters, "are frozen (requires_grad=False)", _DECLARE_FROZEN)
    remedy = f"Build the optimiser after the swap. {_DECLARE_FROZEN}"
    refuse(outside, parameters, "are not in the optimiser", remedy)


def check_change(before: str, after: str, *, frozen: bool, target: str) -> None:
    """Check a backbone's fingerprints around the first step.

    Raises:
        SwapError: It did not change, or changed although it is frozen.
    """
    if frozen and before != after:
        raise SwapError(
            f"The backbone in {target} is declared frozen, but the first step changed it."
        )
    if not frozen and before == after:
        raise SwapError(
            f"The first step changed no parameter of the backbone in {target}. Check that its "
            f"learning rate is not 0. {_DECLARE_FROZEN}"
        )
