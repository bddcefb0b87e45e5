"""A MANO-format hand as a torch module, through smplx (Romero et al., SIGGRAPH Asia 2017).

This is the only module that imports smplx, whose licence is for non-commercial research.
"""

import os
from typing import NamedTuple

import numpy as np
import smplx
import torch
from smplx.utils import Struct
from torch import Tensor, nn

from gesture_pretrain.hand.mano_file import read_hand
from gesture_pretrain.skeleton import MANO21_FROM_MANO16_TIPS, tip_vertices


class HandMesh(NamedTuple):
    """A posed hand, in the frame of the parameters that made it."""

    vertices_m: Tensor  # (B, 778, 3)
    joints_m: Tensor  # (B, 21, 3), mano21 order


class _SmplxMano(smplx.MANO):
    # the width of the shape space; smplx prints a warning for any model narrower than this
    SHAPE_SPACE_DIM = 10


class HandModel(nn.Module):
    """One hand: maps pose, shape and translation to vertices and 21 joints.

    Has no trainable parameters and an empty state dict. Differentiable in all three inputs. Use
    ``.double()`` to compute in float64.

    Attributes:
        hand: ``"right"`` or ``"left"``.
        tip_convention: Choice of the fingertip vertices (``skeleton.TIP_VERTICES``).
        flat_hand_mean: Whether poses are relative to the flat hand. If False, ``hands_mean`` is
            added to the pose.
        faces: (1538, 3) int64 numpy, outward facing.
        weights: (778, 16) float64 numpy, skinning weights.
        joint_regressor: (16, 778) float64 numpy, from vertices to mano16 joints.
        hands_mean: (45,) float64 numpy, axis-angle, rad, as stored in the file.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        *,
        hand: str,
        tip_convention: str = "smplx",
        flat_hand_mean: bool = False,
    ) -> None:
        """Build the module from the arrays of ``mano_file.read_hand``; see ``load_hand_model``."""
        super().__init__()
        self.hand, self.tip_convention, self.flat_hand_mean = hand, tip_convention, flat_hand_mean
        self.faces, self.weights = arrays["f"], arrays["weights"]
        self.hands_mean, self.joint_regressor = arrays["hands_mean"], arrays["J_regressor"]
        tips = torch.tensor(tip_vertices(tip_convention))
        self.register_buffer("_tips", tips, persistent=False)
        self.register_buffer("_order", torch.tensor(MANO21_FROM_MANO16_TIPS), persistent=False)
        self._mano = _SmplxMano(
            model_path="",
            data_struct=Struct(**arrays),
            is_rhand=hand == "right",
            use_pca=False,
            flat_hand_mean=flat_hand_mean,
            **dict.fromkeys(_UNUSED_PARAMETERS, False),
        )
        # Keep the hand model out of state dicts: it is not learned, and a licensed MANO file must
        # not end up in a checkpoint.
        for module in self._mano.modules():
            module._non_persistent_buffers_set.update(module._buffers)

    def forward(self, pose: Tensor, shape: Tensor, trans_m: Tensor) -> HandMesh:
        """Pose the hand.

        Args:
            pose: (B, 48) axis-angle, rad: root, then 15 joints in mano16 order.
            shape: (B, 10) shape coefficients.
            trans_m: (B, 3) translation, m.

        Returns:
            The mesh in the frame of the root rotation and translation.

        Raises:
            ValueError: An argument has another shape.
        """
        _require_widths(pose=(pose, 48), shape=(shape, 10), trans_m=(trans_m, 3))
        posed = self._mano(
            betas=shape, global_orient=pose[:, :3], hand_pose=pose[:, 3:], transl=trans_m
        )
        joints = torch.cat([posed.joints, posed.vertices[:, self._tips]], dim=1)
        return HandMesh(posed.vertices, joints[:, self._order])

    def rest_joints_m(self, shape: Tensor) -> Tensor:
        """Compute the joints (B, 16, 3) of the unposed hand, *mano16* order, m.

        Args:
            shape: (B, 10) shape coefficients.
        """
        _require_widths(shape=(shape, 10))
        mano = self._mano
        vertices = mano.v_template + torch.einsum("bk,vik->bvi", shape, mano.shapedirs)
        return torch.einsum("jv,bvi->bji", mano.J_regressor, vertices)

    def blend_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays for linear blend skinning.

        Returns:
            float64 arrays ``template_m`` (778, 3), ``shape_dirs`` (778, 3, 10), ``pose_dirs``
            (135, 778, 3), ``regressor`` (16, 778), ``weights`` (778, 16) and ``mean_pose`` (48,),
            which is added to every pose.
        """
        mano = self._mano
        mean = np.zeros(45) if self.flat_hand_mean else np.asarray(self.hands_mean)
        tensors = {
            "template_m": mano.v_template,
            "shape_dirs": mano.shapedirs,
            "pose_dirs": mano.posedirs.reshape(135, -1, 3),
            "regressor": mano.J_regressor,
            "weights": mano.lbs_weights,
        }
        arrays = {k: v.detach().cpu().numpy().astype(np.float64) for k, v in tensors.items()}
        return {**arrays, "mean_pose": np.concatenate([np.zeros(3), mean])}


_UNUSED_PARAMETERS = (
    "create_betas",
    "create_global_orient",
    "create_body_pose",
    "create_hand_pose",
    "create_transl",
)


def _require_widths(**named: tuple[Tensor, int]) -> None:
    batch = next(iter(named.values()))[0].shape[:1]
    for name, (value, width) in named.items():
        if value.shape != (*batch, width):
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}; expected (B, {width}), the same B for all"
            )


def load_hand_model(
    hand: str,
    path: str | os.PathLike | None = None,
    *,
    tip_convention: str = "smplx",
    flat_hand_mean: bool = False,
) -> HandModel:
    """Load one hand.

    Args:
        hand: ``"right"`` or ``"left"``.
        path: ``"open"`` for the bundled hand model; a MANO file or folder; or None to search
            ``$MANO_DIR``, else ``mano_file.documented_folder()``. Never falls back to the bundled
            hand model.
        tip_convention: ``"smplx"``, ``"manopth"`` or ``"interhand"``; see
            ``skeleton.TIP_VERTICES``.
        flat_hand_mean: True if poses are relative to the flat hand instead of MANO's mean pose.
            The fits of InterHand2.6M need False.

    Raises:
        ValueError: Unknown hand or tip convention.
        MissingManoFile, ManoFileError: See ``mano_file.read_hand``.
    """
    arrays = read_hand(hand, path)
    return HandModel(
        arrays, hand=hand, tip_convention=tip_convention, flat_hand_mean=flat_hand_mean
    )
