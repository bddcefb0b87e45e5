"""Gesture logits as guidance tokens of the fusion.

Paper, section 3.2: the logits of Stage 1 are projected into the token space by two independent
two-layer MLPs; section 3.2.2: each guidance token carries a learnable type embedding and a scalar
gate that starts near zero. Our assumptions: the gate multiplies the sum of both, starts at 0.001,
and d hidden units with GELU.

Letters: B batch, K classes, G levels in use (0, 1 or 2), d width.
"""

import torch
from torch import Tensor, nn

GUIDANCE_LEVELS = {
    "none": (),
    "coarse": ("coarse",),
    "fine": ("fine",),
    "both": ("coarse", "fine"),
}


def guidance_levels(guidance: str) -> tuple[str, ...]:
    """Return the levels of the taxonomy that guide.

    Raises:
        ValueError: Unknown guidance.
    """
    if guidance not in GUIDANCE_LEVELS:
        known = ", ".join(GUIDANCE_LEVELS)
        raise ValueError(f"unknown guidance {guidance!r}; possible: {known}")
    return GUIDANCE_LEVELS[guidance]


class GuidanceToken(nn.Module):
    """Map logits of one level `(B, K)` to a token `(B, 1, d)`: gate x (MLP(logits) + type)."""

    def __init__(self, num_classes: int, width: int, *, gate: float):
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(num_classes, width), nn.GELU(), nn.Linear(width, width)
        )
        self.type_embedding = nn.Parameter(0.02 * torch.randn(width))
        self.gate = nn.Parameter(torch.tensor(float(gate)))

    def forward(self, logits: Tensor) -> Tensor:
        return (self.gate * (self.embed(logits) + self.type_embedding))[:, None]


class GestureGuidance(nn.Module):
    """Map logits by level to guidance tokens `(B, G, d)`, G >= 1.

    Args:
        num_classes: Classes of each level in use, by its name.
        width: Token width d.
        gate: First value of the gates.
    """

    def __init__(self, num_classes: dict[str, int], width: int, *, gate: float = 1e-3):
        super().__init__()
        self.tokens = nn.ModuleDict(
            {level: GuidanceToken(count, width, gate=gate) for level, count in num_classes.items()}
        )

    def forward(self, logits: dict[str, Tensor]) -> Tensor:
        return torch.cat([make(logits[level]) for level, make in self.tokens.items()], dim=1)
