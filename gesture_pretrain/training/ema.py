"""Exponential moving average of a network's weights.

After k updates the decay is min(decay, (1 + k) / (10 + k)), so that short runs are not dominated by
their initial weights. Floating-point buffers (batch-norm statistics) are averaged like weights;
integer buffers are copied. An update never waits for the device.
"""

from copy import deepcopy

import torch
from torch import nn


class WeightAverage:
    """Average of the weights of a network, stored in `self.module`, a copy in eval mode.

    Args:
        module: Network that is trained. Its tensors must remain the same objects.
        decay: Weight of the previous average in each update, within (0, 1).
    """

    def __init__(self, module: nn.Module, decay: float):
        if not 0 < decay < 1:
            raise ValueError(f"training.ema_decay must lie between 0 and 1, got {decay}.")
        self.decay = decay
        self.updates = 0
        self.module = deepcopy(module).eval().requires_grad_(False)
        pairs = list(
            zip(self.module.state_dict().values(), module.state_dict().values(), strict=True)
        )
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the current weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        average, present = zip(*self._averaged, strict=True)
        torch._foreach_lerp_(average, present, 1 - decay)
        if self._copied:
            average, present = zip(*self._copied, strict=True)
            torch._foreach_copy_(average, present)
        self.updates += 1

    def state_dict(self) -> dict:
        """Return the number of updates and the averaged tensors by name."""
        return {"updates": self.updates, "module": self.module.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Restore the state of `state_dict` strictly."""
        self.updates = state["updates"]
        self.module.load_state_dict(state["module"], strict=True)
