"""Backbones that keep only the inputs of their blocks, and compute the rest again when needed.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016: about a third more computation
for a fraction of the memory. The numbers do not change: dropout draws the same masks again, and
batch norm counts a batch once.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gesture_pretrain.models.backbone import Backbone


def checkpoint_activations(backbone: Backbone) -> int:
    """Makes the blocks of a backbone forget what they computed; returns how many there are.

    The blocks are the members of the network's sequences (stages of a ResNet or HRNet, blocks of a
    ViT) that have parameters. Names of tensors stay as they are.

    Raises:
        ValueError: the network has no such sequence.
    """
    blocks = list(_blocks(backbone.net))
    if not blocks:
        raise ValueError(
            f"training.checkpoint_activations: {backbone.arch} has no sequence of blocks. Leave it "
            "off with this architecture."
        )
    for block in blocks:
        # a class of its own and not an attribute, which a copy would share with the original
        block.__class__ = _forgetting(type(block))
    return len(blocks)


def _blocks(net: nn.Module) -> Iterator[nn.Module]:
    for part in net.children():
        if isinstance(part, nn.Sequential | nn.ModuleList):
            for block in part:
                yield from (b for b in _inner(block) if any(True for _ in b.parameters()))


def _inner(block: nn.Module) -> list[nn.Module]:
    """The blocks of a stage, or the block itself."""
    members = getattr(block, "blocks", block)
    nested = isinstance(members, nn.Sequential) and any(
        True for member in members for _ in member.children()
    )
    return list(members) if nested else [block]


@cache
def _forgetting(kind: type[nn.Module]) -> type[nn.Module]:
    class Forgetting(kind):
        def forward(self, *inputs, **options):
            if not torch.is_grad_enabled() or not self.training:
                return super().forward(*inputs, **options)
            forward = super().forward
            return checkpoint(
                lambda *given, **named: forward(*map(_own_list, given), **named),
                *inputs,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), _without_counting(self)),
                **options,
            )

    Forgetting.__name__ = Forgetting.__qualname__ = f"Forgetting{kind.__name__}"
    return Forgetting


def _own_list(value):
    """HRNet's modules write into the list of maps that they are given."""
    return list(value) if isinstance(value, list) else value


@contextmanager
def _without_counting(block: nn.Module) -> Iterator[None]:
    """Batch norms leave their running statistics alone."""
    norms = [
        module
        for module in block.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and module.training
        and module.track_running_stats
    ]
    kept = [dict(norm._buffers) for norm in norms]
    for norm in norms:  # as many tensors as in the first pass, or torch would object
        norm._buffers.update({name: value.clone() for name, value in norm._buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)
