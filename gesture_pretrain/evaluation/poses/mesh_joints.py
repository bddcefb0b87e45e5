"""The 21 joints of a MANO mesh, regressed from its vertices.

They differ from the joints of the kinematic chain, which follow from pose and shape. A metric must
use the same kind for prediction and ground truth.
"""

from collections.abc import Mapping

import numpy as np

from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.skeleton import HANDS, MANO21_FROM_MANO16_TIPS, tip_vertices


def joints_of_mesh(
    vertices: np.ndarray, joint_regressor: np.ndarray, *, tip_convention: str
) -> np.ndarray:
    """Regress the joints of meshes of one hand, in the unit and frame of the vertices.

    Args:
        vertices: (..., 778, 3) vertices.
        joint_regressor: (16, 778) regressor of the hand model (``HandModel.joint_regressor``).
        tip_convention: Choice of fingertip vertices, see ``skeleton.TIP_VERTICES``. IntagHand and
            EANet evaluate with "manopth" (middle tip 444); EANet trains with "interhand" (445).

    Returns:
        Joints (..., 21, 3), float64, mano21 order.
    """
    vertices = np.asarray(vertices)
    order = np.array(MANO21_FROM_MANO16_TIPS)
    native = np.matmul(np.asarray(joint_regressor, np.float64), vertices)
    tips = vertices[..., list(tip_vertices(tip_convention)), :]
    return np.concatenate([native, tips], axis=-2)[..., order, :]


def joints_of_hands(
    vertices: np.ndarray,
    hand: np.ndarray,
    hand_models: Mapping[str, HandModel],
    *,
    tip_convention: str,
) -> np.ndarray:
    """Regress joints (N, 21, 3), float64, from meshes (N, 778, 3), each by its hand's regressor.

    Args:
        vertices: (N, 778, 3) vertices.
        hand: (N,) 0 right, 1 left.
        hand_models: "right" and "left" hand model.
        tip_convention: See `joints_of_mesh`.
    """
    joints = np.full((len(vertices), 21, 3), np.nan)
    for code, side in enumerate(HANDS):
        chosen = hand == code
        if chosen.any():
            joints[chosen] = joints_of_mesh(
                vertices[chosen], hand_models[side].joint_regressor, tip_convention=tip_convention
            )
    return joints
