"""The 21 joints of a posed hand in numpy, without the mesh, for the data loader.

Uses the same linear blend skinning as `gesture_pretrain.hand.model` (Romero et al., SIGGRAPH Asia
2017), but only for the five fingertip vertices, which is a hundred times as fast for one hand.
"""

import numpy as np

from gesture_pretrain.geometry.axis_angle import rodrigues
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.skeleton import MANO21_FROM_MANO16_TIPS, PARENTS_MANO16, tip_vertices


class HandJoints:
    """Computes joints from pose, shape and translation, in float64.

    Args:
        model: Hand model that defines the fingertips and the mean pose.
    """

    def __init__(self, model: HandModel):
        arrays = model.blend_arrays()
        template, shape_dirs = arrays["template_m"], arrays["shape_dirs"]
        regressor, tips = arrays["regressor"], list(tip_vertices(model.tip_convention))
        # 16 rest joints, then 5 rest tips: (21, 3) and (63, 10)
        self._rest = np.concatenate([regressor @ template, template[tips]])
        joint_dirs = np.einsum("jv,vik->jik", regressor, shape_dirs)
        self._shape_dirs = np.concatenate([joint_dirs, shape_dirs[tips]]).reshape(63, -1)
        self._pose_dirs = np.ascontiguousarray(arrays["pose_dirs"][:, tips].reshape(135, 15).T)
        self._tip_weights = arrays["weights"][tips]
        self._mean_pose = arrays["mean_pose"]

    def joints_m(self, pose: np.ndarray, shape: np.ndarray, trans_m: np.ndarray) -> np.ndarray:
        """Compute the joints of one hand or a batch (leading axes ...), in the frame of the fit.

        The joints of a hand are bit-identical in every batch.

        Args:
            pose: (..., 48) axis-angle, rad, as for `HandModel`.
            shape: (..., 10) shape coefficients.
            trans_m: (..., 3) translation, m.

        Returns:
            (..., 21, 3) m, mano21 order.
        """
        lead = np.shape(pose)[:-1]
        by_shape = self._shape_dirs @ np.asarray(shape, np.float64)[..., None]
        rest = self._rest + by_shape.reshape(*lead, 21, 3)
        local = rodrigues((pose + self._mean_pose).reshape(*lead, 16, 3))
        bends = (local[..., 1:, :, :] - np.eye(3)).reshape(*lead, 135, 1)
        tips = rest[..., 16:, :] + (self._pose_dirs @ bends).reshape(*lead, 5, 3)
        rotation, position = turns_and_places(local, rest[..., :16, :])
        offset = position - _rotated(rotation, rest[..., :16, :])
        blended = self._tip_weights @ rotation.reshape(*lead, 16, 9)
        tips = _rotated(blended.reshape(*lead, 5, 3, 3), tips) + self._tip_weights @ offset
        joints = np.concatenate([position, tips], axis=-2)[..., _ORDER, :]
        return joints + np.asarray(trans_m)[..., None, :]


_ORDER = list(MANO21_FROM_MANO16_TIPS)


def turns_and_places(turns: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accumulate rotations and positions along the kinematic tree.

    Args:
        turns: (..., 16, 3, 3) rotation of each joint relative to its parent, mano16 order.
        rest: (..., 16, 3) joints of the unposed hand.

    Returns:
        Global rotations (..., 16, 3, 3) and positions (..., 16, 3).
    """
    rotation, position = turns.copy(), rest.copy()
    for joint, parent in enumerate(PARENTS_MANO16):
        if parent >= 0:
            above = rotation[..., parent, :, :]
            rotation[..., joint, :, :] = above @ turns[..., joint, :, :]
            bone = rest[..., joint, :] - rest[..., parent, :]
            position[..., joint, :] = position[..., parent, :] + _rotated(above, bone)
    return rotation, position


def _rotated(rotation: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Multiply matrices (..., 3, 3) by vectors (..., 3)."""
    return (rotation @ vectors[..., None])[..., 0]
