"""MANO's forward kinematics by smplx.

This is the only module that imports smplx, whose licence is for non-commercial research.
"""

import numpy as np
import smplx
import torch
from smplx.utils import Struct
from torch import Tensor, nn

from gesture_pretrain.hand.kinematics import HandMesh
from gesture_pretrain.skeleton import MANO21_FROM_MANO16_TIPS, tip_vertices


class _SmplxMano(smplx.MANO):
    # the width of the shape space; smplx prints a warning for any model narrower than this
    SHAPE_SPACE_DIM = 10


class SmplxHand(nn.Module):
    """One hand, with nothing in its state dict.

    Args:
        arrays: Result of ``mano_file.read_hand``.
        hand: ``"right"`` or ``"left"``.
        tip_convention: See ``skeleton.TIP_VERTICES``.
        flat_hand_mean: Whether poses are relative to the flat hand.
    """

    def __init__(
        self, arrays: dict[str, np.ndarray], *, hand: str, tip_convention: str, flat_hand_mean: bool
    ):
        super().__init__()
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

    def of_pose(self, pose: Tensor, shape: Tensor) -> HandMesh:
        """Compute the hand, see ``ManoKinematics.of_pose``."""
        posed = self._mano(betas=shape, global_orient=pose[:, :3], hand_pose=pose[:, 3:])
        joints = torch.cat([posed.joints, posed.vertices[:, self._tips]], dim=1)
        return HandMesh(posed.vertices, joints[:, self._order])


_UNUSED_PARAMETERS = (
    "create_betas",
    "create_global_orient",
    "create_body_pose",
    "create_hand_pose",
    "create_transl",
)
