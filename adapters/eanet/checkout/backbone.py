"""A backbone of ours with the interface that a checkout of EANet expects of its own."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from adapters.eanet.backbone_map import GESTURE_LOGITS, BackboneMap, carried_heads
from adapters.swap.projection import fit_backbone
from adapters.targets import BackboneNeeds, backbone_of
from gesture_pretrain.models.backbone import Backbone, build_backbone
from gesture_pretrain.models.gesture_heads import GestureHeads, build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork

NEEDS = BackboneNeeds(channels=2048, stride=32, input_px=256)
LAYOUTS = ("upstream", "author_fork")
_NET = "backbone.net."


class CheckoutBackbone(BackboneMap):
    """(B, 3, 256, 256) RGB in 0 .. 1 to (B, 2048, 8, 8); its tensors have timm's names.

    For a ResNet-50 these are torchvision's, so that snapshots hold what a checkout's own backbone
    would have written. A declared projection adds `backbone_projection.*`.
    """

    def __init__(self, backbone: Backbone, projection: nn.Module, *, input_normalisation: str):
        super().__init__(backbone, projection, input_normalisation=input_normalisation)
        self._register_state_dict_hook(_with_short_names)
        self._register_load_state_dict_pre_hook(_with_long_names)

    def init_weights(self) -> None:
        """Called by the checkout before training; the weights are there already."""


class ForkBackbone(nn.Module):
    """What the author's fork calls its backbone: the map, or with logits a triple.

    Attributes:
        feature_encoder, main_classifier, sub_classifier: By their names in the fork.
    """

    def __init__(self, encoder: CheckoutBackbone, heads: GestureHeads | None = None):
        super().__init__()
        self.feature_encoder = encoder
        self.use_gesture_logits = heads is not None
        if heads is not None:
            self.main_classifier = heads.coarse.layers
            self.sub_classifier = heads.fine.layers

    def init_weights(self) -> None:
        """Called by the checkout before training; the weights are there already."""

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """(B, 3, 256, 256) -> map, or map, coarse logits, fine logits."""
        features = self.feature_encoder(image)
        if not self.use_gesture_logits:
            return features
        pooled = features.mean(dim=(2, 3))
        return features, self.main_classifier(pooled), self.sub_classifier(pooled)


def checkout_backbone(
    network: Backbone | GestureNetwork,
    *,
    layout: str = "upstream",
    gesture_logits: str = "none",
    allow_projection: bool = False,
    input_normalisation: str = "backbone",
    seed: int = 0,
) -> CheckoutBackbone | ForkBackbone:
    """Wrap a backbone for a checkout.

    Args:
        network: Its gesture heads, if any, are used for `gesture_logits="logits"` alone.
        layout: "upstream" or "author_fork".
        gesture_logits: "none", or "logits", which the author's fork reads and upstream does not.
        allow_projection: Bring other channels to 2048 by a 1x1 convolution.
        input_normalisation: See `BackboneMap`.
        seed: Of the projection.

    Raises:
        SwapError: Channels, stride or size do not fit, heads are wanted that are not there, or a
            projection would stand between the backbone and its heads.
        ValueError: Unknown layout or logits, or logits for upstream.
    """
    _check_choices(layout, gesture_logits)
    backbone = backbone_of(network)
    through = fit_backbone(
        backbone, NEEDS, target="EANet's checkout", allow_projection=allow_projection, seed=seed
    )
    encoder = CheckoutBackbone(backbone, through, input_normalisation=input_normalisation)
    if layout == "upstream":
        return encoder
    return ForkBackbone(encoder, carried_heads(network, gesture_logits, through))


def _check_choices(layout: str, gesture_logits: str) -> None:
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; possible: {', '.join(LAYOUTS)}")
    if gesture_logits not in GESTURE_LOGITS:
        raise ValueError(
            f"gesture_logits is {gesture_logits!r}; possible: {', '.join(GESTURE_LOGITS)}"
        )
    if layout == "upstream" and gesture_logits != "none":
        raise ValueError("upstream's EANet reads no gesture logits; layout='author_fork' does")


def pack_network(network: Backbone | GestureNetwork) -> dict[str, Any]:
    """Plain values and tensors from which `unpack_network` makes the same network."""
    backbone = backbone_of(network)
    packed = {
        "arch": backbone.arch,
        "input_spec": list(backbone.input_spec),
        "net": dict(backbone.net.state_dict()),
        "heads": None,
    }
    if isinstance(network, GestureNetwork):
        heads = network.heads
        packed["heads"] = {
            "num_coarse": heads.coarse.num_classes,
            "num_fine": heads.fine.num_classes,
            "hidden": heads.coarse.hidden,
            "dropout": heads.coarse.dropout,
            "state": dict(heads.state_dict()),
        }
    return packed


def unpack_network(packed: Mapping[str, Any]) -> Backbone | GestureNetwork:
    """The network of `pack_network`; every tensor must fit."""
    size_px, *_ = packed["input_spec"]
    backbone = build_backbone(packed["arch"], size_px=size_px)
    backbone.input_spec = type(backbone.input_spec)(*packed["input_spec"])
    backbone.net.load_state_dict(packed["net"], strict=True)
    if packed["heads"] is None:
        return backbone
    options = dict(packed["heads"])
    state = options.pop("state")
    heads = build_gesture_heads(backbone.pooled_channels, **options)
    heads.load_state_dict(state, strict=True)
    return GestureNetwork(backbone, heads)


def _with_short_names(module: nn.Module, state: dict, prefix: str, _metadata) -> None:
    """`<prefix>backbone.net.conv1.weight` becomes `<prefix>conv1.weight`, order kept."""
    renamed = {_short(name, prefix): value for name, value in state.items()}
    state.clear()
    state.update(renamed)


def _with_long_names(state: dict, prefix: str, *_) -> None:
    """The way back, before the children look for their tensors."""
    for name in [name for name in state if name.startswith(prefix)]:
        rest = name[len(prefix) :]
        if not rest.startswith("backbone_projection."):
            state[prefix + _NET + rest] = state.pop(name)


def _short(name: str, prefix: str) -> str:
    long = prefix + _NET
    return prefix + name[len(long) :] if name.startswith(long) else name


def own_tensors(backbone: nn.Module) -> dict[str, Tensor]:
    """Name in a snapshot, without what stands before the backbone, to tensor."""
    return dict(backbone.state_dict(keep_vars=True))


def trained_parameters(backbone: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters among `own_tensors`."""
    named = own_tensors(backbone).items()
    return {name: value for name, value in named if isinstance(value, torch.nn.Parameter)}
