"""Building a network without drawing the random weights that a file replaces at once.

Drawing them takes most of the time of a load. Modules are built on their device as usual, with all
they compute; only the functions that fill a tensor with random numbers leave it as it was
allocated. What was left so is remembered: `all_replaced` says whether a state dict covers it.
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
# What timm makes a truncated normal distribution of a uniform one with
_RESHAPE = {Tensor.erfinv_, Tensor.mul_, Tensor.add_, Tensor.clamp_}


class UndrawnWeights(TorchFunctionMode):
    """Context in which random initial weights are not drawn."""

    def __init__(self):
        super().__init__()
        self._left: dict[int, Tensor] = {}  # kept alive, so that no address is used again

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
        """Whether loading a state dict into `module` replaces every tensor that was left.

        Not so for a tensor that was only an intermediate value, or is kept outside of the state
        dict. To be asked before loading.
        """
        held = {_address(tensor) for tensor in module.state_dict(keep_vars=True).values()}
        return held.issuperset(self._left)


def _address(tensor: Tensor) -> int:
    return torch.Tensor.untyped_storage(tensor).data_ptr()
