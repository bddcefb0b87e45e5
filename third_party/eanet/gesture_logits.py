"""Gesture logits in EANet: the classification heads and their fusion with the joint features.

An option of the fork of EANet used for "Gesture-Aware Pretraining and Token Fusion for 3D Hand
Pose Estimation". No classification loss: the pose losses alone train the heads.

Letters: B batch, J joints, C width, M classes (one token each).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from eanet.quirks import LogitsToHands

HEAD_DROPOUT = 0.5
FUSION_DROPOUT = 0.1


class GestureLogits(NamedTuple):
    """Raw scores, before any softmax."""

    main: Tensor  # (B, num_main), coarse classes
    sub: Tensor  # (B, num_sub), fine classes


def _classifier(channels: int, hidden: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(HEAD_DROPOUT),
        nn.Linear(hidden, num_classes),
    )


class GestureHeads(nn.Module):
    """Coarse and fine gesture logits from the pooled backbone map."""

    def __init__(self, *, channels: int, hidden: int, num_main: int, num_sub: int) -> None:
        super().__init__()
        self.main = _classifier(channels, hidden, num_main)
        self.sub = _classifier(channels, hidden, num_sub)

    def forward(self, features: Tensor) -> GestureLogits:
        """Map (B, channels, H, W) to logits."""
        pooled = features.mean(dim=(2, 3))
        return GestureLogits(self.main(pooled), self.sub(pooled))


class LogitCrossAttention(nn.Module):
    """Joint features attend to logits, one token per class.

    ``gate`` starts at 0, so the attended part starts with factor sigmoid(0) = 0.5.
    """

    def __init__(self, *, width: int, num_heads: int, max_classes: int) -> None:
        """Make the layers; ``max_classes`` is the length of the table of class embeddings."""
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(()))
        self.logit_to_token = nn.Linear(1, width)
        self.attn = nn.MultiheadAttention(
            width, num_heads, dropout=FUSION_DROPOUT, batch_first=True
        )
        self.ffn = nn.Sequential(nn.Linear(width, width), nn.Dropout(FUSION_DROPOUT))
        self.norm_query = nn.LayerNorm(width)
        self.norm_out = nn.LayerNorm(width)
        self.class_embed = nn.Embedding(max_classes, width)

    def forward(self, joints: Tensor, logits: Tensor) -> Tensor:
        """Map (B, J, C) and (B, M) to (B, J, C)."""
        tokens = self.logit_to_token(logits.unsqueeze(-1))
        tokens = tokens + self.class_embed.weight[: logits.shape[1]]
        attended, _ = self.attn(self.norm_query(joints), tokens, tokens, need_weights=False)
        return self.norm_out(joints + self.gate.sigmoid() * self.ffn(attended))


class GestureFusion(nn.Module):
    """Assign coarse and fine logits to the joint features of each hand."""

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        num_main: int,
        num_sub: int,
        max_classes: int,
        logits_to_hands: LogitsToHands,
    ) -> None:
        """Make the layers.

        Raises:
            ValueError: There are more classes than ``max_classes``.
        """
        super().__init__()
        if max(num_main, num_sub) > max_classes:
            raise ValueError(
                f"{num_main} coarse and {num_sub} fine classes need a table of as many rows; "
                f"max_classes is {max_classes}"
            )
        self.logits_to_hands = logits_to_hands
        sizes = {"width": width, "num_heads": num_heads, "max_classes": max_classes}
        self.main = LogitCrossAttention(**sizes)
        self.sub = LogitCrossAttention(**sizes)

    def forward(
        self, right: Tensor, left: Tensor, main: Tensor, sub: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fuse joint features (B, J, C) of both hands with coarse and fine logits."""
        if self.logits_to_hands == "main_right_sub_left":
            return self.main(right, main), self.sub(left, sub)
        return self.sub(self.main(right, main), sub), self.sub(self.main(left, main), sub)
