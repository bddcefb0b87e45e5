"""Pre-norm transformer blocks over tokens (Vaswani et al., 2017; Dosovitskiy et al., 2021).

Letters: B batch, N and M tokens, C width. LayerNorm eps 1e-5, exact (erf) GELU, no dropout. The
names inside a self-attention block are those of timm's ViT block.
"""

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

LAYER_NORM_EPS = 1e-5


def _split_heads(tokens: Tensor, num_heads: int) -> Tensor:
    """Map (B, N, C) to (B, heads, N, C / heads)."""
    return tokens.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def _merge_heads(tokens: Tensor) -> Tensor:
    """Map (B, heads, N, C / heads) to (B, N, C)."""
    return tokens.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head attention of tokens among themselves; no bias before, one after."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)  # rows: query, key, value
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, C)."""
        query, key, value = (
            _split_heads(part, self.num_heads) for part in self.qkv(tokens).chunk(3, dim=-1)
        )
        return self.proj(_merge_heads(scaled_dot_product_attention(query, key, value)))


class CrossAttention(nn.Module):
    """Multi-head attention of queries to a context; no biases before, one after."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, width, bias=False)
        self.v = nn.Linear(width, width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Map (B, N, C) and (B, M, C) to (B, N, C)."""
        attended = scaled_dot_product_attention(
            _split_heads(self.q(query), self.num_heads),
            _split_heads(self.k(context), self.num_heads),
            _split_heads(self.v(context), self.num_heads),
        )
        return self.proj(_merge_heads(attended))


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int, *, bias: bool) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden, bias=bias)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width, bias=bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, C)."""
        return self.fc2(self.act(self.fc1(tokens)))


class SelfAttentionBlock(nn.Module):
    """x += attention(norm x); x += mlp(norm x). The MLP has biases."""

    def __init__(self, width: int, num_heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn = SelfAttention(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(width, mlp_ratio * width, bias=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, C)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class CrossAttentionBlock(nn.Module):
    """q += attention(norm q, norm k); q += mlp(norm q). The MLP has no biases."""

    def __init__(self, width: int, num_heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)  # query
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)  # context
        self.attn = CrossAttention(width, num_heads)
        self.norm3 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)  # before the MLP
        self.mlp = Mlp(width, mlp_ratio * width, bias=False)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Map (B, N, C) and (B, M, C) to (B, N, C); the context stays as it is."""
        query = query + self.attn(self.norm1(query), self.norm2(context))
        return query + self.mlp(self.norm3(query))
