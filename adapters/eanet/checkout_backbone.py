"""Our backbone for a checkout of EANet's own code, or of the author's fork.

In the checkout's `main/model.py`, below its own imports, two lines put it in:

    from adapters.eanet import eanet_checkout_backbone
    hand_backbone = eanet_checkout_backbone("resnet50.gesture")  # was ResNetBackbone(...)

The checkout's `config` has to be imported before its `nets`, as it extends `sys.path`; so keep
`from config import cfg` at the top. The interface is the one described by the published code. It
has been tested with a small double of it, and not yet in a published checkout.
"""

import os

from torch import Tensor, nn

from adapters.eanet.backbone_map import GESTURE_LOGITS, BackboneMap, carried_heads
from adapters.swap.next_step import NextStepCheck
from adapters.swap.projection import fit_backbone
from adapters.targets import BackboneNeeds, SwapError, backbone_of
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import GestureHeads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.weights.ledger import WeightLedger, compare_tensors
from gesture_pretrain.weights.registry import load_network

NEEDS = BackboneNeeds(channels=2048, stride=32, input_px=256)
LAYOUTS = ("upstream", "author_fork")
_TARGET = "EANet's checkout"
_NET = "backbone.net."
_PROJECTION = "backbone_projection."


class CheckoutBackbone(BackboneMap):
    """Map (B, 3, 256, 256) RGB in [0, 1] to (B, 2048, 8, 8); tensors keep the backbone's names.

    For a ResNet-50 these are torchvision's, so snapshots hold what EANet's own backbone would have
    written. A declared projection adds `backbone_projection.*`. A snapshot that lacks one of the
    tensors is refused, although the checkout loads with `strict=False`.

    Attributes:
        ledger: Status of every tensor of the backbone.
    """

    def __init__(self, backbone: Backbone, projection: nn.Module, *, input_normalisation: str):
        super().__init__(backbone, projection, input_normalisation=input_normalisation)
        self._register_state_dict_hook(_with_short_names)
        self._register_load_state_dict_pre_hook(_with_long_names, with_module=True)

    def init_weights(self) -> None:
        """Keep the weights; the checkout calls this before training, so check the first step."""
        NextStepCheck(self, target=_TARGET)

    def forward(self, image: Tensor, stage: str | None = None) -> Tensor:
        """Map (B, 3, 256, 256) to (B, 2048, 8, 8).

        Args:
            image: RGB in 0..1.
            stage: Must be None; EANet's backbone can be run in two halves, this one cannot.
        """
        if stage is not None:
            raise ValueError(f"stage is {stage!r}, but this backbone runs as a whole: leave it out")
        return super().forward(image)


class ForkBackbone(nn.Module):
    """Backbone of the author's fork: returns the map or, with gesture logits, a triple.

    Attributes:
        feature_encoder, main_classifier, sub_classifier: Modules, named as in the fork.
        ledger: Status of every tensor of the backbone.
    """

    def __init__(self, encoder: CheckoutBackbone, heads: GestureHeads | None = None):
        super().__init__()
        self.feature_encoder = encoder
        self.use_gesture_logits = heads is not None
        if heads is not None:
            self.main_classifier = heads.coarse.layers
            self.sub_classifier = heads.fine.layers

    def init_weights(self) -> None:
        """Keep the weights; the checkout calls this before training, so check the first step."""
        NextStepCheck(self, target=_TARGET)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Map (B, 3, 256, 256) to the map, or to map, coarse logits and fine logits."""
        features = self.feature_encoder(image)
        if not self.use_gesture_logits:
            return features
        pooled = features.mean(dim=(2, 3))
        return features, self.main_classifier(pooled), self.sub_classifier(pooled)


def eanet_checkout_backbone(
    source: str | os.PathLike | Backbone | GestureNetwork,
    *,
    layout: str = "upstream",
    gesture_logits: str = "none",
    allow_projection: bool = False,
    input_normalisation: str = "backbone",
    seed: int = 0,
) -> CheckoutBackbone | ForkBackbone:
    """Build a backbone with the interface of EANet's own, and print its ledger.

    Args:
        source: Name of registered weights, path of a weight folder, or the network itself.
        layout: "upstream", or "author_fork" for the fork's `backbone` with its `feature_encoder`.
        gesture_logits: "none", or "logits" for the fork with `use_gesture_logits=True`.
        allow_projection: Bring other channels to 2048 by a 1x1 convolution.
        input_normalisation: "backbone" for the mean and deviation that it was trained with, "unit"
            for values in [0, 1], as EANet uses.
        seed: Seed of the projection.

    Raises:
        SwapError: Channels, stride or size do not fit, heads are missing, or a projection would
            separate the backbone from its heads.
        ValueError: Unknown layout, logits or normalisation; or logits for upstream.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; possible: {', '.join(LAYOUTS)}")
    if gesture_logits not in GESTURE_LOGITS:
        possible = ", ".join(GESTURE_LOGITS)
        raise ValueError(f"gesture_logits is {gesture_logits!r}; possible: {possible}")
    if layout == "upstream" and gesture_logits != "none":
        raise ValueError("upstream's EANet reads no gesture logits; layout='author_fork' does")
    given = isinstance(source, nn.Module)
    network = source if given else load_network(source)
    backbone = backbone_of(network)
    through = fit_backbone(
        backbone, NEEDS, target=_TARGET, allow_projection=allow_projection, seed=seed
    )
    module = CheckoutBackbone(backbone, through, input_normalisation=input_normalisation)
    if layout == "author_fork":
        module = ForkBackbone(module, carried_heads(network, gesture_logits, through))
    module.ledger = _ledger(module, network, backbone.arch if given else str(source))
    print(module.ledger.table())
    return module


def _ledger(module: nn.Module, network: Backbone | GestureNetwork, source: str) -> WeightLedger:
    fork = isinstance(module, ForkBackbone)
    prefix = "feature_encoder." if fork else ""
    offered = {prefix + n: t for n, t in backbone_of(network).net.state_dict().items()}
    dropped = {}
    if isinstance(network, GestureNetwork):
        heads = {
            f"{theirs}.{name}": tensor
            for theirs, head in (
                ("main_classifier", network.heads.coarse),
                ("sub_classifier", network.heads.fine),
            )
            for name, tensor in head.layers.state_dict().items()
        }
        used = fork and module.use_gesture_logits
        offered, dropped = (offered | heads, {}) if used else (offered, heads)
    fresh = {prefix + _PROJECTION: "declared 1x1 projection"}
    ledger = compare_tensors(
        module.state_dict(), offered, fresh=fresh, dropped=dropped, source=source
    )
    if not ledger.is_complete:
        raise SwapError(f"tensors are not accounted for:\n{ledger.table()}")
    return ledger


def _with_short_names(module: nn.Module, state: dict, prefix: str, _metadata) -> None:
    """Rename `<prefix>backbone.net.conv1.weight` to `<prefix>conv1.weight`, keeping the order."""
    renamed = {_short(name, prefix): value for name, value in state.items()}
    state.clear()
    state.update(renamed)


def _with_long_names(module: nn.Module, state: dict, prefix: str, *_) -> None:
    """Rename back before the children look for their tensors; all of them must be there."""
    own = module.state_dict()
    missing = [name for name in own if prefix + name not in state]
    if missing:
        raise SwapError(
            f"the snapshot lacks {len(missing)} of {len(own)} tensors of the backbone, first "
            f"{prefix}{missing[0]}. Was it written with another backbone?"
        )
    for name in own:
        if not name.startswith(_PROJECTION):
            state[prefix + _NET + name] = state.pop(prefix + name)


def _short(name: str, prefix: str) -> str:
    long = prefix + _NET
    return prefix + name[len(long) :] if name.startswith(long) else name
