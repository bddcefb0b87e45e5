"""Check that a swapped backbone trains in the optimiser's first steps."""

from collections.abc import Iterable
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
from gesture_pretrain.weights.keymaps import covers
from gesture_pretrain.weights.ledger import fingerprint

_MOST_OVERFLOWS = 20


class FirstStepCheck(Hook):
    """Raise unless the backbone is in the optimiser, gets gradients and changes.

    Before the first step: every backbone parameter requires a gradient and is in the optimiser.
    After it: every one got a gradient, all are finite, and the parameters' fingerprint changed.
    Within `patience_steps`: every one got a gradient that is not all zero. (Not at once: a residual
    branch whose last batch norm starts at zero passes no gradient on in the very first step.)

    A run that goes on from a checkpoint is not at its first step; there only the optimiser is
    checked.

    Args:
        ledger: Ledger of the swap.
        out: Run folder, where `ledger.json` is updated; None to write nothing.
        frozen_backbone: The backbone is frozen on purpose: it must not change, and no
            parameter of it may be in the optimiser.
        unused: Names, or prefixes ending in ".", of backbone parameters that the target does not
            read; they need no gradient.
        patience_steps: Number of steps within which each gradient must have been non-zero.

    Attributes:
        ledger: Completed by the first step.
    """

    priority = "VERY_LOW"

    def __init__(
        self,
        ledger: SwapLedger,
        *,
        out: Path | None = None,
        frozen_backbone: bool = False,
        unused: Iterable[str] = (),
        patience_steps: int = 5,
    ):
        if frozen_backbone != ledger.frozen_backbone:
            raise ValueError(
                f"frozen_backbone={frozen_backbone}, but the ledger says {ledger.frozen_backbone}"
            )
        self.ledger, self.out = ledger, out
        self.frozen_backbone, self.unused = frozen_backbone, tuple(unused)
        self.patience_steps = patience_steps
        self._steps_seen, self._overflows, self._active = 0, 0, False
        self._watches: list = []

    def before_train(self, runner: Runner) -> None:
        parameters = self._parameters(runner)
        check_optimizer(parameters, runner.optim_wrapper.optimizer, frozen=self.frozen_backbone)
        self._active = runner.iter == 0
        if not self._active:
            return
        self._before = fingerprint(parameters)
        self._has_gradient: set[str] = set()
        self._moved: set[str] = set()
        self._broken: list[str] = []
        if not self.frozen_backbone:
            self._watches = [
                parameter.register_post_accumulate_grad_hook(self._watch(name))
                for name, parameter in parameters.items()
            ]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if not self._active:
            return
        if self._broken and getattr(runner.optim_wrapper, "loss_scaler", None) is not None:
            self._forget_overflow()
            return
        settle = getattr(getattr(runner, "train_loop", None), "settle", None)
        if settle is not None:
            settle()  # a skipped step does not show that the backbone does not train
        self._steps_seen += 1
        parameters = self._parameters(runner)
        if self._steps_seen == 1:
            self._after_first(parameters, runner)
        silent = sorted(set(parameters) - self._moved)
        if self._steps_seen < self.patience_steps and silent and not self.frozen_backbone:
            return
        self._stop_watching()
        if silent and not self.frozen_backbone:
            raise SwapError(
                f"{len(silent)} of {len(parameters)} backbone parameters had a gradient of exactly "
                f"zero in each of the first {self._steps_seen} steps: {first_few(silent)}. "
                f"{self.ledger.target} does not read them, or detaches them. Declare intentionally "
                "unread parameters with unused=(...)."
            )

    def after_train(self, runner) -> None:
        self._stop_watching()

    def _parameters(self, runner: Runner) -> dict[str, nn.Parameter]:
        """Return the backbone's parameters that the target reads, under timm's names."""
        backbone = unwrapped(runner.model).backbone
        return {
            name: parameter
            for name, parameter in backbone.net.named_parameters()
            if not any(covers(key, name) for key in self.unused)
        }

    def _watch(self, name: str):
        def look(parameter: Tensor) -> None:
            self._has_gradient.add(name)
            largest = parameter.grad.abs().amax()
            if not torch.isfinite(largest):
                self._broken.append(name)
            elif largest > 0:
                self._moved.add(name)

        return look

    def _forget_overflow(self) -> None:
        """Count overflowed gradients, for which a loss scaler skips the step."""
        self._overflows += 1
        if self._overflows > _MOST_OVERFLOWS:
            raise SwapError(
                f"the backbone's gradient overflowed {self._overflows} times in a row: "
                f"{first_few(self._broken)}. Use training.precision=bf16 or fp32."
            )
        self._broken = []

    def _after_first(self, parameters: dict[str, nn.Parameter], runner: Runner) -> None:
        after = fingerprint(parameters)
        if not self.frozen_backbone:
            self._require_gradients(parameters)
        check_change(self._before, after, frozen=self.frozen_backbone, target=self.ledger.target)
        trunk = unwrapped(runner.model).backbone.net.state_dict()
        self.ledger = self.ledger.with_first_step(
            fingerprint({f"net.{name}": value for name, value in trunk.items()}),
            {
                "backbone_parameters": len(parameters),
                "with_gradient": len(self._has_gradient),
                "with_gradient_other_than_zero": len(self._moved),
                "parameters_before": self._before,
                "parameters_after": after,
                "unused": list(self.unused),
            },
        )
        if self.out is not None and rank_and_world_size()[0] == 0:
            self.ledger.save(self.out)

    def _require_gradients(self, parameters: dict[str, nn.Parameter]) -> None:
        if self._broken:
            raise SwapError(
                f"the gradient of {len(self._broken)} backbone parameters is not finite in the "
                f"first step: {first_few(self._broken)}. Lower the learning rate or use fp32."
            )
        without = sorted(set(parameters) - self._has_gradient)
        if without:
            raise SwapError(
                f"{len(without)} of {len(parameters)} backbone parameters got no gradient in the "
                f"first step: {first_few(without)}. {self.ledger.target} does not read them, or "
                "detaches them. Declare intentionally unread parameters with unused=(...), a "
                "frozen backbone with frozen_backbone=True."
            )

    def _stop_watching(self) -> None:
        self._active = False
        for watch in self._watches:
            watch.remove()
        self._watches = []


def check_optimizer(
    parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, *, frozen: bool
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
    if frozen:
        trained = [n for n, p in parameters.items() if id(p) in held or p.requires_grad]
        if trained:
            raise SwapError(
                f"the backbone is declared frozen, but {len(trained)} of its parameters would be "
                f"trained: {first_few(trained)}"
            )
        return
    still = [name for name, p in parameters.items() if not p.requires_grad]
    if still:
        raise SwapError(
            f"{len(still)} of {len(parameters)} backbone parameters are frozen "
            f"(requires_grad=False): {first_few(still)}. If this is intended, declare it with "
            "frozen_backbone=True."
        )
    outside = [name for name, p in parameters.items() if id(p) not in held]
    if outside:
        raise SwapError(
            f"{len(outside)} of {len(parameters)} backbone parameters are not in the optimiser: "
            f"{first_few(outside)}. It was built before the swap, or from a list that misses them. "
            "If the backbone is frozen on purpose, declare it with frozen_backbone=True."
        )


def check_change(before: str, after: str, *, frozen: bool, target: str) -> None:
    """Check a backbone's fingerprints around the first step.

    Raises:
        SwapError: It did not change, or changed although it is frozen.
    """
    if frozen and before != after:
        raise SwapError(f"the backbone in {target} is declared frozen, but the first step moved it")
    if not frozen and before == after:
        raise SwapError(
            f"the first step changed no parameter of the backbone in {target}. Check that its "
            "learning rate is not 0. If the backbone is frozen on purpose, declare "
            "it with frozen_backbone=True."
        )
