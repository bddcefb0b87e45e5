"""Transformer encoder of image tokens and joint tokens.

Letters: B batch, N tokens, d width.

The norm follows each residual sum (Vaswani et al. 2017). A norm in front of the attention
would divide every token by its own scale and so undo the guidance gates that start near zero.
"""

from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """Multi-head self-attention, `(B, N, d)` to `(B, N, d)`.

    Args:
        width: Token width d.
        num_heads: Heads; d is a multiple of it.

    Raises:
        ValueError: d is not a multiple of the number of heads.
    """

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        if num_heads < 1 or width % num_heads:
            raise ValueError(f"width {width} is not a multiple of {num_heads} heads")
        self.num_heads = num_heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        qkv = self.to_qkv(tokens).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, N, d / heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.to_out(mixed.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """Self-attention and a two-layer MLP, each with residual, dropout and norm: `(B, N, d)`."""

    def __init__(self, width: int, num_heads: int, *, mlp_ratio: float, dropout: float):
        super().__init__()
        hidden = round(mlp_ratio * width)
        self.attention = SelfAttention(width, num_heads)
        self.norm_attention = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.norm_mlp = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm_attention(tokens + self.dropout(self.attention(tokens)))
        return self.norm_mlp(tokens + self.dropout(self.mlp(tokens)))


class TransformerEncoder(nn.Module):
    """A stack of encoder layers, `(B, N, d)` to `(B, N, d)`.

    Args:
        width: Token width d.
        layers: Layers; none leaves the tokens as they are.
        num_heads: Heads of each.
        mlp_ratio: Hidden units of each MLP over d.
        dropout: Fraction of residual values dropped in training.
    """

    def __init__(
        self,
        width: int,
        *,
        layers: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.layers = nn.Sequential(
            *(
                EncoderLayer(width, num_heads, mlp_ratio=mlp_ratio, dropout=dropout)
                for _ in range(layers)
            )
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layers(tokens)
