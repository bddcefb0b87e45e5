"""Fusion of joint tokens with guidance tokens.

Paper, section 3.2.2: joint and guidance tokens are concatenated and go through a Transformer
encoder, of which only the first J positions are kept; a residual connection with a learnable 1x1
convolution fuses the refined tokens back with the original ones. Our assumptions: 4 layers of 8
heads, and the sum `original + conv(refined)`.

Letters: B batch, J joints, G guidance tokens, d width.
"""

import torch
from torch import Tensor, nn

from adapters.token_fusion.transformer import TransformerEncoder


class TokenFusion(nn.Module):
    """Fuse joint tokens `(B, J, d)` and guidance tokens `(B, G, d)` to `(B, J, d)`.

    Args:
        width: Token width d.
        layers: Layers of the encoder.
        num_heads: Heads of each.
        mlp_ratio: Hidden units of its MLPs over d.
        dropout: Dropout of the encoder.
    """

    def __init__(
        self,
        width: int,
        *,
        layers: int = 4,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.encoder = TransformerEncoder(
            width, layers=layers, num_heads=num_heads, mlp_ratio=mlp_ratio, dropout=dropout
        )
        self.fuse = nn.Conv1d(width, width, 1)

    def forward(self, joint_tokens: Tensor, guidance_tokens: Tensor | None = None) -> Tensor:
        tokens = joint_tokens
        if guidance_tokens is not None:
            tokens = torch.cat([joint_tokens, guidance_tokens], dim=1)
        refined = self.encoder(tokens)[:, : joint_tokens.shape[1]]
        return joint_tokens + self.fuse(refined.transpose(1, 2)).transpose(1, 2)
