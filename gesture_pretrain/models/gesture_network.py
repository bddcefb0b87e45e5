"""Backbone and gesture heads in one module, trained in Stage 1 and read in Stage 2."""

from typing import NamedTuple

from torch import Tensor, nn

from gesture_pretrain.models.backbone import Backbone, BackboneFeatures
from gesture_pretrain.models.gesture_heads import GestureHeads


class GestureOutput(NamedTuple):
    """Output of a gesture network for an image batch `(B, 3, H, W)`.

    Attributes:
        features: Feature maps by level and the pooled feature `(B, C)`.
        coarse_logits: `(B, num_coarse)`.
        fine_logits: `(B, num_fine)`.
    """

    features: BackboneFeatures
    coarse_logits: Tensor
    fine_logits: Tensor


class GestureNetwork(nn.Module):
    """A backbone with a coarse and a fine head on its pooled feature.

    Raises:
        ValueError: A head expects a different number of channels.
    """

    def __init__(self, backbone: Backbone, heads: GestureHeads):
        super().__init__()
        for name, head in (("coarse", heads.coarse), ("fine", heads.fine)):
            if head.in_channels != backbone.pooled_channels:
                raise ValueError(
                    f"the {name} head expects {head.in_channels} channels, but {backbone.arch} has "
                    f"{backbone.pooled_channels}. Build it with backbone.pooled_channels."
                )
        self.backbone = backbone
        self.heads = heads

    def forward(self, image_normalised: Tensor) -> GestureOutput:
        """Compute features and logits of `(B, 3, H, W)`, normalised by `backbone.input_spec`."""
        features = self.backbone(image_normalised)
        coarse_logits, fine_logits = self.heads(features.pooled)
        return GestureOutput(features, coarse_logits, fine_logits)
