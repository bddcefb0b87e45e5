"""Backbone and gesture heads together: what Stage 1 trains and Stage 2 reads."""

from typing import NamedTuple

from torch import Tensor, nn

from gesture_pretrain.models.backbone import Backbone, BackboneFeatures
from gesture_pretrain.models.gesture_heads import GestureHeads


class GestureOutput(NamedTuple):
    """What a gesture network gives for `(B, 3, H, W)`.

    Attributes:
        features: Maps by level and the pooled feature `(B, C)`.
        coarse_logits: `(B, num_coarse)`.
        fine_logits: `(B, num_fine)`.
    """

    features: BackboneFeatures
    coarse_logits: Tensor
    fine_logits: Tensor


class GestureNetwork(nn.Module):
    """A backbone with the coarse and the fine head on its pooled feature.

    Raises:
        ValueError: A head was built for another number of channels.
    """

    def __init__(self, backbone: Backbone, heads: GestureHeads):
        super().__init__()
        for name, head in (("coarse", heads.coarse), ("fine", heads.fine)):
            if head.in_channels != backbone.pooled_channels:
                raise ValueError(
                    f"the {name} head reads {head.in_channels} channels, but {backbone.arch} gives "
                    f"{backbone.pooled_channels}. Build it with backbone.pooled_channels."
                )
        self.backbone = backbone
        self.heads = heads

    def forward(self, image_normalised: Tensor) -> GestureOutput:
        """`(B, 3, H, W)`, normalised by `backbone.input_spec`, to features and logits."""
        features = self.backbone(image_normalised)
        coarse_logits, fine_logits = self.heads(features.pooled)
        return GestureOutput(features, coarse_logits, fine_logits)
