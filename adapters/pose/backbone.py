"""Starting backbones of pose runs: registered, from a file, timm's, or random."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import PositiveInt
from torch import nn

from adapters.targets import backbone_of
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.record import TaxonomyRecord
from gesture_pretrain.weights.registry import find_backbone, load_network
from gesture_pretrain.weights.starting_backbone import build_starting_backbone

DEFAULT_SIZE_PX = 256


class StartingPoint(NamedTuple):
    """Network that a target is built around.

    Attributes:
        network: The backbone, with its gesture heads if it has any.
        name: Source of its weights, for the ledger.
        frozen: Whether it is kept unchanged.
        head_classes: Classes that its gesture heads were trained on; None without heads
            or if they are random.
    """

    network: Backbone | GestureNetwork
    name: str
    frozen: bool
    head_classes: TaxonomyRecord | None = None


def build_starting_point(
    *,
    taxonomy: Taxonomy,
    gesture_logits: bool,
    seed: int,
    name: str | None = None,
    arch: str | None = None,
    init: str | Path = "random",
    size_px: PositiveInt | None = None,
    heads: Mapping | None = None,
    frozen: bool = False,
) -> StartingPoint:
    """Load a backbone by name, or build one by architecture.

    Args:
        taxonomy: Taxonomy of the data; sets the number of classes of random heads.
        gesture_logits: The target reads gesture logits, so there must be heads.
        seed: Random seed of random weights.
        name: `arch.tag` in the registry, or a path of exported weights, loaded with heads.
        arch: Architecture, if no name is given.
        init: "random", "imagenet", "timm", a file of weights, or exported weights without
            their heads, see `build_starting_backbone`.
        size_px: Side of the crops; None for that of the stored weights, else 256.
        heads: Hidden units and dropout of random heads, if the model reads gesture logits and
            the weights have none; {} for the defaults.
        frozen: Keep weights and statistics of the backbone as they are.

    Raises:
        ValueError: Neither or both of name and arch, or keys that do not fit.
        UnknownBackbone: No weights of that name.
    """
    _check_choice(name, arch, init)
    if name is not None:
        network, source = _stored(name, size_px), name
        _check_heads(network, name, heads, gesture_logits)
        classes = find_backbone(name).record.taxonomy
    else:
        classes = None
        size_px = size_px or DEFAULT_SIZE_PX
        network = build_starting_backbone(arch, init=init, size_px=size_px, seed=seed)
        source = f"{arch} ({init})"
    if gesture_logits and isinstance(network, Backbone):
        network = GestureNetwork(network, _random_heads(network, taxonomy, seed, heads or {}))
    return StartingPoint(network, source, frozen, classes)


def crop_size_px(*, name: str | None = None, size_px: int | None = None, **_) -> int:
    """Return the crop side of a backbone section, without reading tensors."""
    if size_px is not None:
        return size_px
    return DEFAULT_SIZE_PX if name is None else find_backbone(name).record.input.size_px


def freeze(backbone: Backbone) -> None:
    """Freeze weights, statistics and mode of the backbone."""
    backbone.requires_grad_(False)
    for module in backbone.modules():
        module.eval()
        module.train = lambda mode=True, module=module: module


def _check_choice(name, arch, init) -> None:
    if (name is None) == (arch is None):
        raise ValueError(
            f"backbone.name is {name!r} and backbone.arch is {arch!r}; give one of them: a name of "
            "the registry, or an architecture to start from"
        )
    if name is not None and init != "random":
        raise ValueError(
            f"backbone.name={name!r} brings its own weights; backbone.init goes with backbone.arch"
        )


def _check_heads(network, name: str, heads: Mapping | None, gesture_logits: bool) -> None:
    if isinstance(network, GestureNetwork) and heads is not None:
        raise ValueError(
            f"{name} brings its own gesture heads; backbone.heads describes random ones. Leave it "
            "out."
        )
    if isinstance(network, Backbone) and gesture_logits and heads is None:
        raise ValueError(
            f"The model reads gesture logits, but {name} has no gesture heads. Choose weights with "
            "heads or a model without guidance; or ask for random heads with backbone.heads={}."
        )


def _stored(name: str, size_px: int | None) -> Backbone | GestureNetwork:
    network = load_network(name)
    backbone = backbone_of(network)
    spec = backbone.input_spec
    if size_px is not None and size_px != spec.size_px:
        if spec.fixed_size or size_px % spec.multiple_of:
            raise ValueError(
                f"{name} takes crops of "
                + (f"{spec.size_px} px only" if spec.fixed_size else f"{spec.multiple_of} px steps")
                + f", not backbone.size_px={size_px}"
            )
        backbone.input_spec = spec._replace(size_px=size_px)
    return network


def _random_heads(backbone: Backbone, taxonomy: Taxonomy, seed: int, heads: Mapping) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_gesture_heads(
            backbone.pooled_channels,
            num_coarse=taxonomy.num_coarse,
            num_fine=taxonomy.num_fine,
            **heads,
        )
