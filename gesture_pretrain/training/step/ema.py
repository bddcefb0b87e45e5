"""Exponential moving average of a network's weights.

The decay warms up as min(decay, (1 + k) / (10 + k)) after k updates, so that short runs are not
dominated by their initial weights. Floating-point buffers (batch-norm statistics) are averaged
like the weights, integer buffers are copied. An update is a few operations on lists of tensors and
waits for nothing.
"""

from copy import deepcopy

import torch
from torch import nn


class WeightAverage:
    """Average of the weights of `module`, kept in `self.module`, a copy in eval mode.

    Args:
        module: the network that is trained.
        decay: weight of the past in each update, within (0, 1).
    """

    def __init__(self, module: nn.Module, decay: float):
        if not 0 < decay < 1:
            raise ValueError(f"training.ema_decay must lie between 0 and 1, got {decay}.")
        self.decay = decay
        self.updates = 0
        self.module = deepcopy(module).eval().requires_grad_(False)
        tensors = self.module.state_dict()
        self._averaged = [name for name, value in tensors.items() if value.is_floating_point()]
        self._copied = [name for name, value in tensors.items() if not value.is_floating_point()]

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the average towards the present weights of `module`."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        present, average = module.state_dict(), self.module.state_dict()
        torch._foreach_lerp_(
            [average[name] for name in self._averaged],
            [present[name] for name in self._averaged],
            1 - decay,
        )
        for name in self._copied:
            average[name].copy_(present[name], non_blocking=True)
        self.updates += 1

    def state_dict(self) -> dict:
        """Updates so far and the averaged tensors by name."""
        return {"updates": self.updates, "module": self.module.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Takes over what `state_dict` gave; strict."""
        self.updates = state["updates"]
        self.module.load_state_dict(state["module"], strict=True)
