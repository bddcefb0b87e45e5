"""An expendable projector between the pooled feature and the classifiers.

A projector keeps variation within classes, such as pose, in the feature before it: Wang et al.,
CVPR 2022 (SL-MLP, arXiv 2112.00496), and Sariyildiz et al., ICLR 2023 (t-ReX, arXiv 2206.15369).

The classifiers behind the projector train the backbone and are dropped with it. The exported
gesture heads are trained beside them on the pooled feature without a gradient to the backbone, so
that Stage 2 finds the heads it expects.
"""

from torch import Tensor, nn

from gesture_pretrain.models.gesture_heads import GestureHeads, build_gesture_heads
from gesture_pretrain.pretraining.beyond_paper.mlp import build_mlp


class ProjectedHeads(nn.Module):
    """Projector and its two classifiers.

    Args:
        in_channels: Channels of the pooled feature.
        num_coarse: Number of coarse classes.
        num_fine: Number of fine classes.
        hidden: Hidden units of the projector.
        channels: Output channels of the projector.
        head_hidden: Hidden units of the classifiers.
        head_dropout: Fraction of these units dropped in training.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_coarse: int,
        num_fine: int,
        hidden: int = 2048,
        channels: int = 256,
        head_hidden: int = 1024,
        head_dropout: float = 0.5,
    ):
        super().__init__()
        self.projector = build_mlp(in_channels, hidden, channels)
        self.heads: GestureHeads = build_gesture_heads(
            channels,
            num_coarse=num_coarse,
            num_fine=num_fine,
            hidden=head_hidden,
            dropout=head_dropout,
        )

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, in_channels) to coarse and fine logits."""
        return self.heads(self.projector(pooled))
