"""Two levels of the backbone on one grid, mixed by a light Transformer encoder.

Paper, section 3.2.1: F_lo and F_hi are each projected and concatenated along channels; flattened,
they are a sequence of global tokens for a lightweight Transformer encoder, whose output is a
spatial map again. Our assumptions: C = 256, 16 x 16 cells, 2 layers of 8 heads with an MLP of twice
the width, bilinear resampling to the grid, and a learned position per token.

Letters: B batch, C projected channels, H' = W' cells of the grid.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adapters.token_fusion.transformer import TransformerEncoder


class FeatureTokens(nn.Module):
    """Map `F_lo (B, C_lo, ., .)` and `F_hi (B, C_hi, ., .)` to `F' (B, 2C, H', W')`.

    Args:
        low_channels: C_lo.
        high_channels: C_hi.
        channels: C.
        cells: H' = W'.
        layers: Layers of the encoder.
        num_heads: Heads of each.
        mlp_ratio: Hidden units of its MLPs over 2C.
        dropout: Dropout of the encoder.
    """

    def __init__(
        self,
        low_channels: int,
        high_channels: int,
        *,
        channels: int = 256,
        cells: int = 16,
        layers: int = 2,
        num_heads: int = 8,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.cells = cells
        self.project_low = nn.Conv2d(low_channels, channels, 1)
        self.project_high = nn.Conv2d(high_channels, channels, 1)
        self.position = nn.Parameter(0.02 * torch.randn(1, cells * cells, 2 * channels))
        self.encoder = TransformerEncoder(
            2 * channels, layers=layers, num_heads=num_heads, mlp_ratio=mlp_ratio, dropout=dropout
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        levels = (self.project_low(low), self.project_high(high))
        joined = torch.cat([self._on_grid(level) for level in levels], dim=1)
        tokens = joined.flatten(2).transpose(1, 2) + self.position  # (B, H'W', 2C)
        mixed = self.encoder(tokens).transpose(1, 2)
        return mixed.unflatten(2, (self.cells, self.cells))

    def _on_grid(self, level: Tensor) -> Tensor:
        if level.shape[-2:] == (self.cells, self.cells):
            return level
        return F.interpolate(
            level, size=(self.cells, self.cells), mode="bilinear", align_corners=False
        )
