"""FuseFormer: fuse two feature maps through a joint and a similarity token sequence.

Park et al., "Extract-and-Adaptation Network for 3D Interacting Hand Mesh Recovery", ICCVW 2023.
EANet has three: one extracts what both hands share, two adapt it to each hand.

Letters: B batch, C width, H = W = grid, T = H * W tokens of one map (row-major).
"""

import torch
from torch import Tensor, nn

from eanet.layers.attention import CrossAttentionBlock, SelfAttentionBlock


class CrossAttentionStack(nn.Module):
    """Cross-attention blocks that all read the same context."""

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        depth: int,
        mlp_ratio: int,
        num_queries: int,
        num_context: int,
    ) -> None:
        super().__init__()
        self.query_pos_embed = nn.Parameter(torch.randn(1, num_queries, width))
        self.context_pos_embed = nn.Parameter(torch.randn(1, num_context, width))
        self.blocks = nn.ModuleList(
            CrossAttentionBlock(width, num_heads, mlp_ratio) for _ in range(depth)
        )

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Map (B, N, C) and (B, M, C) to (B, N, C)."""
        query, context = query + self.query_pos_embed, context + self.context_pos_embed
        for block in self.blocks:
            query = block(query, context)
        return query


class FuseFormer(nn.Module):
    """Fuses two maps (B, C, H, W) into one; the order of the arguments matters."""

    def __init__(
        self, *, width: int, grid: int, num_heads: int, depth: int, mlp_ratio: int
    ) -> None:
        """Make the layers.

        Args:
            width: C.
            grid: H and W. The position embeddings fix it.
            num_heads: Number of heads of each attention.
            depth: Blocks of self-attention, and as many of cross-attention.
            mlp_ratio: Hidden width of an MLP over C.
        """
        super().__init__()
        num_tokens = grid * grid
        sizes = {"width": width, "num_heads": num_heads, "mlp_ratio": mlp_ratio}
        self.pos_embed = nn.Parameter(torch.randn(1, 2 * num_tokens + 1, width))
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.join = nn.Linear(2 * width, width)
        self.self_blocks = nn.ModuleList(SelfAttentionBlock(**sizes) for _ in range(depth))
        self.bridge = nn.Linear(width, width)
        self.cross = CrossAttentionStack(
            **sizes, depth=depth, num_queries=num_tokens, num_context=2 * num_tokens + 1
        )
        self.out = nn.Linear(width, width)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Map (B, C, H, W) twice to (B, C, H, W)."""
        tokens_first, tokens_second = first.flatten(2).mT, second.flatten(2).mT
        joint = self.join(torch.cat([tokens_first, tokens_second], dim=-1))
        similarity = self._similarity_tokens(tokens_first, tokens_second)
        for block in self.self_blocks:
            similarity = block(similarity)
        fused = self.out(self.cross(joint, self.bridge(similarity)))
        return fused.mT.unflatten(2, first.shape[2:])

    def _similarity_tokens(self, first: Tensor, second: Tensor) -> Tensor:
        """Map (B, T, C) twice to (B, 2 T + 1, C), the class token in front."""
        class_token = self.cls_token.expand(first.shape[0], -1, -1)
        return torch.cat([class_token, first, second], dim=1) + self.pos_embed
