"""The 21 joints of a MANO mesh by regression from its vertices.

Not the joints of the kinematic chain: those follow from pose and shape, these from the skin. A
metric must use one and the same on both sides.
"""

import numpy as np

from gesture_pretrain.skeleton import MANO21_FROM_MANO16_TIPS, tip_vertices


def joints_of_mesh(
    vertices: np.ndarray, joint_regressor: np.ndarray, *, tip_convention: str
) -> np.ndarray:
    """Joints of meshes of one hand, in the unit and frame of the vertices.

    Args:
        vertices: (..., 778, 3).
        joint_regressor: (16, 778), of that hand's model (``HandModel.joint_regressor``).
        tip_convention: Which vertices are fingertips, see ``skeleton.TIP_VERTICES``. IntagHand and
            EANet evaluate with "manopth" (middle tip 444); EANet trains with "interhand" (445).

    Returns:
        (..., 21, 3) float64, mano21 order.
    """
    vertices = np.asarray(vertices)
    order = np.array(MANO21_FROM_MANO16_TIPS)
    native = np.matmul(np.asarray(joint_regressor, np.float64), vertices)
    tips = vertices[..., list(tip_vertices(tip_convention)), :]
    return np.concatenate([native, tips], axis=-2)[..., order, :]
