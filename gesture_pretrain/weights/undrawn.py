"""Building of a network without drawing random weights that a file then replaces.

Drawing them takes most of the loading time. Modules are built on their device as usual, but
functions that fill a tensor with random numbers leave it uninitialised. `all_replaced` reports
whether a state dict replaces all of these tensors.
"""

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DRAW = {
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    Tensor.normal_,
    Tensor.uniform_,
}
# Operations with which timm converts uniform samples to a truncated normal distribution
_RESHAPE = {Tensor.erfinv_, Tensor.mul_, Tensor.add_, Tensor.clamp_}


class UndrawnWeights(TorchFunctionMode):
    """Context in which random weights are left uninitialised."""

    def __init__(self):
        super().__init__()
        self._left: dict[int, Tensor] = {}  # kept alive, so that no address is reused

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _DRAW:
            tensor = args[0] if args else kwargs["tensor"]
            self._left[_address(tensor)] = tensor
            return tensor
        if func in _RESHAPE and _address(args[0]) in self._left:
            return args[0]
        return func(*args, **kwargs)

    def all_replaced(self, module: nn.Module) -> bool:
        """Return whether a state dict for `module` replaces every uninitialised tensor.

        False if one of them was an intermediate value, or is not in the state dict. Call this
        before loading.
        """
        held = {_address(tensor) for tensor in module.state_dict(keep_vars=True).values()}
        return held.issuperset(self._left)


def _address(tensor: Tensor) -> int:
    return torch.Tensor.untyped_storage(tensor).data_ptr()
