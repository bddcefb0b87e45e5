"""The two light classifiers of Stage 1.

Both read the pooled feature `g` and share nothing: one gives the coarse gesture, one the fine. The
shape Linear - ReLU - Dropout - Linear with 1024 hidden units is that of the paper author's public
EANet fork; the paper itself only says that they are light.
"""

from torch import Tensor, nn


class GestureHead(nn.Module):
    """Pooled feature to class logits.

    Args:
        in_channels: C of the pooled feature.
        num_classes: Classes.
        hidden: Hidden units.
        dropout: Share of hidden units dropped in training.
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
        """`(B, in_channels)` to `(B, num_classes)`."""
        return self.layers(pooled)


class GestureHeads(nn.Module):
    """The coarse and the fine head side by side."""

    def __init__(self, coarse: GestureHead, fine: GestureHead):
        super().__init__()
        self.coarse = coarse
        self.fine = fine

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, C)` to coarse logits `(B, num_coarse)` and fine logits `(B, num_fine)`."""
        return self.coarse(pooled), self.fine(pooled)


def build_gesture_heads(
    in_channels: int,
    *,
    num_coarse: int,
    num_fine: int,
    hidden: int = 1024,
    dropout: float = 0.5,
) -> GestureHeads:
    """Both heads of one width for `num_coarse` and `num_fine` classes."""
    return GestureHeads(
        GestureHead(in_channels, num_coarse, hidden=hidden, dropout=dropout),
        GestureHead(in_channels, num_fine, hidden=hidden, dropout=dropout),
    )
