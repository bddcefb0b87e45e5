"""Check that any training loop trains a backbone, in its next optimiser step."""

import torch
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from adapters.swap.first_step import (
    check_change,
    check_gradients,
    check_optimizer,
    largest_gradients,
)
from adapters.targets import SwapError
from gesture_pretrain.weights.ledger import fingerprint


class NextStepCheck:
    """Check the next step of any optimiser of this process, once.

    The step raises `SwapError` if a parameter of the backbone is frozen, not in the optimiser, or
    without a finite gradient, or if the step changes none of them.

    Args:
        backbone: The module to train.
        target: Name of the network around it, for messages.
    """

    def __init__(self, backbone: nn.Module, *, target: str):
        self._parameters = dict(backbone.named_parameters())
        self._target = target
        self._handles = (
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        )

    def cancel(self) -> None:
        """Check nothing."""
        for handle in self._handles:
            handle.remove()

    def _before_step(self, optimizer: torch.optim.Optimizer, *_) -> None:
        try:
            check_optimizer(self._parameters, optimizer, frozen=False)
            check_gradients(self._parameters, largest_gradients(self._parameters))
        except SwapError:
            self.cancel()
            raise
        self._before = fingerprint(self._parameters)

    def _after_step(self, optimizer: torch.optim.Optimizer, *_) -> None:
        self.cancel()
        after = fingerprint(self._parameters)
        check_change(self._before, after, frozen=False, target=self._target)
        print(
            f"First step of {type(optimizer).__name__}: all {len(self._parameters)} parameters of "
            f"the backbone in {self._target} have a gradient, and the step changed them."
        )
