"""Adapter of our backbones to EANet: crops in, one map at stride 32 out."""

import torch
from torch import Tensor, nn

from adapters.swap.projection import ChannelProjection
from adapters.targets import SwapError
from eanet.gesture_logits import GestureLogits
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import GestureHeads
from gesture_pretrain.models.gesture_network import GestureNetwork

INPUTS = ("backbone", "unit")
GESTURE_LOGITS = ("none", "logits")


class BackboneMap(nn.Module):
    """EANet's backbone.

    Args:
        backbone: The backbone; it is not copied.
        backbone_projection: Applied to its map: the identity, or a declared projection.
        input_normalisation: "backbone": with the mean and deviation that the backbone was trained
            with. "unit": values in [0, 1], as upstream feeds its ResNet-50.

    Raises:
        ValueError: Unknown `input_normalisation`.
    """

    def __init__(
        self, backbone: Backbone, backbone_projection: nn.Module, *, input_normalisation: str
    ):
        super().__init__()
        if input_normalisation not in INPUTS:
            raise ValueError(
                f"input_normalisation is {input_normalisation!r}; possible: {', '.join(INPUTS)}"
            )
        self.backbone = backbone
        self.backbone_projection = backbone_projection
        own = input_normalisation == "backbone"
        spec = backbone.input_spec
        for name, values in (
            ("mean", spec.mean if own else (0, 0, 0)),
            ("std", spec.std if own else (1, 1, 1)),
        ):
            buffer = torch.tensor(values, dtype=torch.float32).reshape(1, 3, 1, 1)
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 3, H, W) RGB in 0 .. 1 to (B, C, H / 32, W / 32)."""
        features = self.backbone((image - self.mean) / self.std)
        return self.backbone_projection(features.levels[self.backbone.high])


class CarriedHeads(nn.Module):
    """The backbone's pretrained gesture heads, replacing EANet's.

    Args:
        heads: The heads, which read the pooled map; they are not copied.
    """

    def __init__(self, heads: GestureHeads):
        super().__init__()
        self.heads = heads

    def forward(self, features: Tensor) -> GestureLogits:
        """Map (B, C, H, W) to coarse (main) and fine (sub) logits."""
        return GestureLogits(*self.heads(features.mean(dim=(2, 3))))


def carried_heads(
    network: Backbone | GestureNetwork, gesture_logits: str, through: nn.Module
) -> GestureHeads | None:
    """Return a network's gesture heads if logits are read, else None.

    Args:
        network: Has heads if it is a `GestureNetwork`.
        gesture_logits: "none" or "logits".
        through: Projection of the map, see `adapters.swap.projection.fit_backbone`.

    Raises:
        SwapError: It has no heads, or a projection would stand between it and them.
    """
    if gesture_logits == "none":
        return None
    if not isinstance(network, GestureNetwork):
        raise SwapError(
            "gesture_logits='logits' needs gesture heads, but this backbone has none. "
            "Load it with load_backbone(name, with_heads=True), or choose gesture_logits='none'."
        )
    if isinstance(through, ChannelProjection):
        raise SwapError(
            "gesture_logits='logits' needs the backbone's own map, but it is projected "
            f"({through.describe()}). Choose gesture_logits='none', or let EANet read the map "
            "as it is (backbone_channels=None)."
        )
    return network.heads


def unit_image(image: Tensor) -> Tensor:
    """Convert crops to float32 in [0, 1].

    Args:
        image: (B, 3, S, S) uint8 in 0 .. 255, or floating point in 0 .. 1.

    Raises:
        TypeError: Another type.
    """
    if image.dtype == torch.uint8:
        return image.float() / 255
    if image.is_floating_point():
        return image.float()
    raise TypeError(f"images must be uint8 in 0..255 or float in 0..1, got {image.dtype}")
