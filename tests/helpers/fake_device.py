"""Tensors that are "on CUDA" without a GPU: shapes, types and devices without values.

Under `FakeTensorMode` an operation computes nothing, but it still refuses tensors of two devices,
and reading a value (`.item()`, `bool(tensor)`) raises. So a network that makes the host wait for a
GPU, or brings a constant from the CPU, fails here. Copies to the host do not raise by themselves;
`watched_copies` counts them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class NoCopies(TorchDispatchMode):
    """Refuses every operation whose inputs and results are on different devices."""

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        given = {v.device for v in tree_leaves((arguments, named)) if isinstance(v, Tensor)}
        made = {v.device for v in tree_leaves(result) if isinstance(v, Tensor)}
        if given and made and given != made:
            raise AssertionError(f"{function} goes from {given} to {made}: the host waits for it")
        return result


@contextmanager
def fake_cuda() -> Iterator["FakeCuda"]:
    """Run what is inside without values; give it tensors through what is yielded."""
    mode = FakeTensorMode(allow_non_fake_inputs=False)
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False  # it would ask for a driver
    try:
        yield FakeCuda(mode)
    finally:
        torch.backends.cudnn.enabled = before


class FakeCuda:
    """Moves modules and batches to the fake device.

    Args:
        mode: Of the whole test.
    """

    def __init__(self, mode: FakeTensorMode):
        self.mode = mode

    @contextmanager
    def on(self) -> Iterator[None]:
        """Run operations on fake tensors, and refuse copies between devices."""
        with self.mode, NoCopies():
            yield

    def tensor(self, real: Tensor) -> Tensor:
        """A tensor of the same shape, strides and type on "cuda"."""
        fake = self.mode.from_tensor(real)
        with self.mode:
            return torch.empty_strided(
                fake.shape, fake.stride(), dtype=fake.dtype, device="cuda"
            ).requires_grad_(real.requires_grad)

    def values(self, batch):
        """A collated batch, as it leaves the loader, with its tensors on "cuda"."""
        if isinstance(batch, Tensor):
            return self.tensor(batch)
        if isinstance(batch, tuple):
            return type(batch)(*(self.values(value) for value in batch))
        return batch

    def module(self, module: nn.Module) -> nn.Module:
        """The module itself, its parameters and buffers replaced."""
        for part in _all_modules(module):
            for name, parameter in part._parameters.items():
                if parameter is not None:
                    part._parameters[name] = nn.Parameter(
                        self.tensor(parameter.detach()), requires_grad=parameter.requires_grad
                    )
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    part._buffers[name] = self.tensor(buffer)
        return module


def _all_modules(module: nn.Module) -> list[nn.Module]:
    """Submodules, also those that a tuple hides from the state dict."""
    found = list(module.modules())
    hidden = [
        value
        for part in found
        for held in vars(part).values()
        if isinstance(held, tuple)
        for value in held
        if isinstance(value, nn.Module)
    ]
    return found + [part for each in hidden for part in each.modules()]
