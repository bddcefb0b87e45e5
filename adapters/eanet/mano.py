"""EANet's view of a MANO hand: vertices from parameters, and 21 joints regressed from vertices.

EANet takes every joint from the mesh: 16 by the regressor of the right hand, for both hands, and
five fingertips that are vertices (middle 445; its metric uses 444). The joints of a `HandModel`
come from its skeleton instead and its fingertips may be other vertices, so they are not used here.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from eanet.mano_joints import joint_regressor
from gesture_pretrain.hand_model import HandModel

# (B, 48) axis-angle, (B, 10), (B, 3) m -> (B, 778, 3) m
VerticesOf = Callable[[Tensor, Tensor, Tensor], Tensor]


class ManoHands(nn.Module):
    """Both hands.

    Args:
        right, left: Vertices (B, 778, 3), m, from pose (B, 48), shape (B, 10), translation (B, 3).
        regressor: (16, 778) of the right hand, mano16 order.

    Raises:
        ValueError: The regressor has another shape.
    """

    def __init__(self, right: VerticesOf, left: VerticesOf, regressor: Tensor):
        super().__init__()
        self._right, self._left = right, left
        self.register_buffer("regressor21", joint_regressor(regressor), persistent=False)

    def vertices_m(self, side: int, pose: Tensor, shape: Tensor, trans_m: Tensor) -> Tensor:
        """Vertices (B, 778, 3) of the right (0) or left (1) hand."""
        return (self._right, self._left)[side](pose, shape, trans_m)

    def joints_m(self, vertices_m: Tensor) -> Tensor:
        """21 joints (..., 21, 3), mano21 order, of vertices (..., 778, 3)."""
        return self.regressor21.to(vertices_m.dtype) @ vertices_m


def mano_hands(hand_models: Mapping[str, HandModel]) -> ManoHands:
    """Both hands from our hand models.

    Args:
        hand_models: "right" and "left"; poses must count from MANO's mean pose.

    Raises:
        ValueError: A hand is missing, is the other one, or counts poses from the flat hand.
    """
    for name in ("right", "left"):
        model = hand_models.get(name)
        if model is None:
            raise ValueError(f"hand_models has no {name!r}; load_hand_model({name!r}) gives it")
        if model.hand != name:
            raise ValueError(f"hand_models[{name!r}] is a {model.hand} hand")
        if model.flat_hand_mean:
            raise ValueError(
                f"hand_models[{name!r}] counts poses from the flat hand, EANet and the fits of "
                "InterHand2.6M from MANO's mean pose: load it with flat_hand_mean=False"
            )
    right, left = hand_models["right"], hand_models["left"]
    return ManoHands(
        _HandVertices(right), _HandVertices(left), torch.from_numpy(right.joint_regressor).float()
    )


class _HandVertices(nn.Module):
    def __init__(self, model: HandModel):
        super().__init__()
        self.model = model

    def forward(self, pose: Tensor, shape: Tensor, trans_m: Tensor) -> Tensor:
        return self.model(pose, shape, trans_m).vertices_m
