"""Removal of unused layers of a timm model's classification head.

With `num_classes=0` timm drops the last linear layer, but some families keep layers after
`forward_features` (MobileNetV3's `conv_head`, ConvNeXt's `head.norm`). The feature maps do not pass
through them, so they would never receive a gradient and would be exported untrained.
"""

import copy

import torch
from torch import nn

HEAD_MODULES = ("head", "pre_logits", "conv_head", "norm_head", "fc_norm")


def remove_unused_head(net: nn.Module, size_px: int) -> tuple[str, ...]:
    """Replace head modules that `forward_features` does not call with the identity.

    Args:
        net: A timm model, changed in place.
        size_px: Image side length for the trial pass, which computes shapes only.

    Returns:
        The names of the modules removed.
    """
    held = [n for n in HEAD_MODULES if any(True for _ in _weights_of(net, n))]
    if not held:
        return ()
    called = _called_modules(net, held, size_px)
    unused = tuple(name for name in held if name not in called)
    for name in unused:
        setattr(net, name, nn.Identity())
    return unused


def _weights_of(net: nn.Module, name: str):
    module = getattr(net, name, None)
    return module.parameters() if isinstance(module, nn.Module) else iter(())


def _called_modules(net: nn.Module, names: list[str], size_px: int) -> set[str]:
    """Find the children that run in `forward_features`, using a copy on the meta device."""
    trial = copy.deepcopy(net).to("meta").eval()
    called = set()
    for name in names:
        for module in getattr(trial, name).modules():
            module.register_forward_pre_hook(lambda *_, name=name: called.add(name))
    with torch.no_grad():
        trial.forward_features(torch.empty(1, 3, size_px, size_px, device="meta"))
    return called
