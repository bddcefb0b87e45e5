"""The two light classifiers of Stage 1.

One predicts the coarse gesture from the pooled feature `g`, the other the fine gesture. They share
no weights. The structure Linear - ReLU - Dropout - Linear with 1024 hidden units follows the paper
author's public EANet fork; the paper itself only calls the heads light.
"""

from torch import Tensor, nn


class GestureHead(nn.Module):
    """Classifier from the pooled feature to class logits.

    Args:
        in_channels: Channels of the pooled feature.
        num_classes: Number of classes.
        hidden: Number of hidden units.
        dropout: Fraction of hidden units dropped in training.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, hidden: int = 1024, dropout: float = 0.5
    ):
        super().__init__()
        if num_classes < 1 or hidden < 1:
            raise ValueError(f"num_classes={num_classes} and hidden={hidden} must be at least 1")
        self.in_channels, self.num_classes = in_channels, num_classes
        self.hidden, self.dropout = hidden, dropout
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """Map `(B, in_channels)` to logits `(B, num_classes)`."""
        return self.layers(pooled)


class GestureHeads(nn.Module):
    """The coarse and the fine head side by side."""

    def __init__(self, coarse: GestureHead, fine: GestureHead):
        super().__init__()
        self.coarse = coarse
        self.fine = fine

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(B, C)` to coarse logits `(B, num_coarse)` and fine logits `(B, num_fine)`."""
        return self.coarse(pooled), self.fine(pooled)


def build_gesture_heads(
    in_channels: int,
    *,
    num_coarse: int,
    num_fine: int,
    hidden: int = 1024,
    dropout: float = 0.5,
) -> GestureHeads:
    """Build both heads with the same width and dropout."""
    return GestureHeads(
        GestureHead(in_channels, num_coarse, hidden=hidden, dropout=dropout),
        GestureHead(in_channels, num_fine, hidden=hidden, dropout=dropout),
    )
