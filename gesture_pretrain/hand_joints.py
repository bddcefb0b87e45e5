"""The 21 joints of a posed hand in numpy, without the mesh: for the loader, one hand at a time.

The same linear blend skinning as `gesture_pretrain.hand_model` (Romero et al., SIGGRAPH Asia 2017),
of the five fingertip vertices only, a hundred times as fast for one hand.
"""

import numpy as np

from gesture_pretrain.geometry.axis_angle import rodrigues
from gesture_pretrain.hand_model import HandModel
from gesture_pretrain.skeleton import MANO21_FROM_MANO16_TIPS, PARENTS_MANO16, tip_vertices


class HandJoints:
    """Joints by pose, shape and translation; float64.

    Args:
        model: the hand; its tips and its mean pose are taken over.
    """

    def __init__(self, model: HandModel):
        arrays = model.blend_arrays()
        template, shape_dirs = arrays["template_m"], arrays["shape_dirs"]
        regressor, tips = arrays["regressor"], list(tip_vertices(model.tip_convention))
        # 16 rest joints, then 5 rest tips: (21, 3) and (21, 3, 10)
        self._rest = np.concatenate([regressor @ template, template[tips]])
        joint_dirs = np.einsum("jv,vik->jik", regressor, shape_dirs)
        self._shape_dirs = np.concatenate([joint_dirs, shape_dirs[tips]])
        self._pose_dirs = np.ascontiguousarray(arrays["pose_dirs"][:, tips].reshape(135, 15).T)
        self._tip_weights = arrays["weights"][tips]
        self._mean_pose = arrays["mean_pose"]

    def joints_m(self, pose: np.ndarray, shape: np.ndarray, trans_m: np.ndarray) -> np.ndarray:
        """Joints of one hand, in the frame of the root rotation and translation.

        Args:
            pose: (48,) axis-angle, rad, as `HandModel` takes it.
            shape: (10,).
            trans_m: (3,) m.

        Returns:
            (21, 3) m, mano21 order.
        """
        rest = self._rest + self._shape_dirs @ np.asarray(shape, np.float64)
        turns = rodrigues((pose + self._mean_pose).reshape(16, 3))
        tips = rest[16:] + (self._pose_dirs @ (turns[1:] - np.eye(3)).reshape(135)).reshape(5, 3)
        rotation, position = _chain(turns, rest[:16])
        offset = position - np.einsum("jab,jb->ja", rotation, rest[:16])
        blended = np.tensordot(self._tip_weights, rotation, axes=1)
        tips = np.einsum("tab,tb->ta", blended, tips) + self._tip_weights @ offset
        return np.concatenate([position, tips])[_ORDER] + trans_m


_ORDER = list(MANO21_FROM_MANO16_TIPS)


def _chain(turns: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (16, 3, 3) and positions (16, 3) of the joints along the kinematic tree."""
    rotation, position = turns.copy(), rest.copy()
    for joint, parent in enumerate(PARENTS_MANO16):
        if parent >= 0:
            rotation[joint] = rotation[parent] @ turns[joint]
            position[joint] = position[parent] + rotation[parent] @ (rest[joint] - rest[parent])
    return rotation, position
