"""Upstream's initialisation of the position and rotation networks."""

import torch
from torch import nn

from eanet.gesture_logits import LogitCrossAttention
from eanet.network import EANet

CONV_STD, LINEAR_STD, EMBED_STD = 0.001, 0.01, 1.0
_EMBEDDINGS = ("pos_embed", "cls_token", "query_pos_embed", "context_pos_embed")


def initialise_for_training(model: EANet, *, generator: torch.Generator | None = None) -> None:
    """Initialise the position and rotation networks as upstream does.

    Convolutions normal with standard deviation 0.001, linear layers 0.01, biases 0; batch and layer
    norms 1 and 0; position embeddings and class tokens standard normal. The backbone has its own
    weights and stays as it is, and so do the gesture heads and the gesture fusion (torch's
    defaults, and a gate of 0): upstream has neither.

    Args:
        model: Changed in place.
        generator: Random generator on the model's device; None for torch's global one.
    """
    for network in (model.position_net, model.rotation_net):
        _initialise(network, generator)


@torch.no_grad()
def _initialise(module: nn.Module, generator: torch.Generator | None) -> None:
    if isinstance(module, LogitCrossAttention):
        return
    if isinstance(module, nn.Conv2d | nn.Linear):
        std = CONV_STD if isinstance(module, nn.Conv2d) else LINEAR_STD
        module.weight.normal_(std=std, generator=generator)
        if module.bias is not None:
            module.bias.zero_()
    elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
        module.reset_parameters()
    for name, parameter in module.named_parameters(recurse=False):
        if name in _EMBEDDINGS:
            parameter.normal_(std=EMBED_STD, generator=generator)
    for child in module.children():
        _initialise(child, generator)
