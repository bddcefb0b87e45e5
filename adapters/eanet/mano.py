"""MANO hands as EANet uses them: vertices from parameters, and 21 joints regressed from vertices.

EANet takes every joint from the mesh: 16 by the regressor of the right hand, for both hands, and
five fingertips that are vertices (middle 445 upstream, tip convention "interhand"; its metric uses
444). The joints of a `HandModel` come from its skeleton instead, so they are not used here.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from adapters.eanet.mesh_joints import MeshJoints
from gesture_pretrain.hand.kinematics import ManoKinematics
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.skeleton import MANO21_FROM_MANO16_TIPS, tip_vertices

# (B, 48) axis-angle, (B, 10), (B, 3) m -> (B, 778, 3) m
VerticesOf = Callable[[Tensor, Tensor, Tensor], Tensor]
# (N, 48), (N, 10), (N, 3) m -> (N, 21, 3) m
JointsOf = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class ManoHands(nn.Module):
    """Both hands, kept out of the state dict because checkpoints hold no licensed model.

    Args:
        right, left: Vertices (B, 778, 3), m, from pose (B, 48), shape (B, 10), translation (B, 3).
        regressor: (16, 778) of the right hand, mano16 order.
        tip_convention: Vertices of the fingertips, see `skeleton.TIP_VERTICES`.
        joints: Regressors of the right and left hand's joints without the mesh, for the
            dataset; None to compute them from the mesh.

    Attributes:
        regressor21: (21, 778), mano21 order.

    Raises:
        ValueError: The regressor has another shape, or no such tip convention.
    """

    def __init__(
        self,
        right: VerticesOf,
        left: VerticesOf,
        regressor: Tensor,
        tip_convention: str = "interhand",
        *,
        joints: tuple[JointsOf, JointsOf] | None = None,
    ):
        super().__init__()
        if regressor.shape != (16, 778):
            raise ValueError(
                f"the regressor has shape {tuple(regressor.shape)}, expected (16, 778)"
            )
        self._hands, self._joints = (right, left), joints
        self.register_buffer("regressor21", _with_tips(regressor, tip_convention), persistent=False)

    def _apply(self, fn, recurse: bool = True):
        # a tuple hides the hands from the state dict, and from .to(device) unless passed on
        for hand in self._hands:
            if isinstance(hand, nn.Module):
                hand._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def vertices_m(
        self, side: int, pose: Tensor, shape: Tensor, trans_m: Tensor | None = None
    ) -> Tensor:
        """Return vertices (B, 778, 3) of the right (0) or left (1) hand; default: untranslated."""
        trans_m = pose.new_zeros(len(pose), 3) if trans_m is None else trans_m
        return self._hands[side](pose, shape, trans_m)

    def joints_m(self, vertices_m: Tensor) -> Tensor:
        """Regress joints (..., 21, 3), mano21 order, from vertices (..., 778, 3)."""
        return self.regressor21.to(vertices_m.dtype) @ vertices_m

    def fit_vertices_m(
        self, side: int, pose: np.ndarray, shape: np.ndarray, trans_m: np.ndarray
    ) -> np.ndarray:
        """Return vertices (N, 778, 3) in numpy; results do not depend on the batch.

        Args:
            side: 0 right, 1 left.
            pose: (N, 48), shape: (N, 10), trans_m: (N, 3) m.
        """
        tensors = (
            torch.as_tensor(np.asarray(each), dtype=self.regressor21.dtype)
            for each in (pose, shape, trans_m)
        )
        rows = zip(*(each.split(1) for each in tensors), strict=True)
        with torch.no_grad():
            found = [self.vertices_m(side, *row)[0].double().numpy() for row in rows]
        return np.stack(found)

    def fit_joints_m(
        self, side: int, pose: np.ndarray, shape: np.ndarray, trans_m: np.ndarray
    ) -> np.ndarray:
        """Return regressed joints (N, 21, 3) in numpy; results do not depend on the batch.

        Args:
            side, pose, shape, trans_m: As for `fit_vertices_m`.
        """
        if self._joints is not None:
            return self._joints[side](pose, shape, trans_m)
        vertices = self.fit_vertices_m(side, pose, shape, trans_m)
        return self.regressor21.double().numpy() @ vertices


def mano_hands(hand_models: Mapping[str, HandModel]) -> ManoHands:
    """Build both hands from our hand models, with their tip convention.

    Args:
        hand_models: "right" and "left"; poses must be relative to MANO's mean pose.

    Raises:
        ValueError: A hand is missing, is the other one, has poses relative to the flat hand, or the
            two have different fingertips.
    """
    for name in ("right", "left"):
        model = hand_models.get(name)
        if model is None:
            raise ValueError(f"hand_models has no {name!r}; load_hand_model({name!r}) gives it")
        if model.hand != name:
            raise ValueError(f"hand_models[{name!r}] is a {model.hand} hand")
        if model.flat_hand_mean:
            raise ValueError(
                f"hand_models[{name!r}] has poses relative to the flat hand; EANet and the fits of "
                "InterHand2.6M use MANO's mean pose: load it with flat_hand_mean=False"
            )
    right, left = hand_models["right"], hand_models["left"]
    if right.tip_convention != left.tip_convention:
        raise ValueError(
            f"right and left hand have different fingertips: {right.tip_convention}, "
            f"{left.tip_convention}; load both with the same tip_convention"
        )
    regressor, tips = torch.from_numpy(right.joint_regressor).float(), right.tip_convention
    rows = _with_tips(regressor, tips).double().numpy()
    return ManoHands(
        _HandVertices(right),
        _HandVertices(left),
        regressor,
        tips,
        joints=(MeshJoints(right, rows), MeshJoints(left, rows)),
    )


class _HandVertices(nn.Module):
    def __init__(self, model: HandModel):
        super().__init__()
        self.kinematics = ManoKinematics(model.blend_arrays(), model.tip_convention)

    def forward(self, pose: Tensor, shape: Tensor, trans_m: Tensor) -> Tensor:
        return self.kinematics.of_pose(pose, shape).vertices_m + trans_m[:, None]


def _with_tips(regressor: Tensor, tip_convention: str) -> Tensor:
    """Extend (16, 778) mano16 rows to (21, 778) mano21 rows."""
    tips = regressor.new_zeros(5, 778)
    tips[torch.arange(5), torch.tensor(tip_vertices(tip_convention))] = 1
    return torch.cat([regressor, tips])[list(MANO21_FROM_MANO16_TIPS)]
