"""EANet's regressed joints without computing the MANO mesh, in numpy, for the dataset.

Skinning moves a vertex by a blend of the 16 joints' motions, and a regressed joint is a sum over
vertices. Exchanging the two sums leaves, for each pair of a regressed joint and a joint of the
skeleton, one point that is linear in shape and finger rotations and is moved as a whole; few pairs
share a vertex.
"""

import numpy as np

from gesture_pretrain.geometry.axis_angle import rodrigues
from gesture_pretrain.hand.joints import turns_and_places
from gesture_pretrain.hand.model import HandModel


class MeshJoints:
    """J joints regressed from the mesh of a posed hand; float64.

    Args:
        model: The hand, including its mean pose.
        regressor: (J, 778), of this hand or, as in EANet, of the other.
    """

    def __init__(self, model: HandModel, regressor: np.ndarray):
        arrays = model.blend_arrays()
        template, shape_dirs, pose_dirs = (
            arrays[name] for name in ("template_m", "shape_dirs", "pose_dirs")
        )
        skeleton = arrays["regressor"]
        self._rest, self._rest_dirs = skeleton @ template, _summed(skeleton, shape_dirs)
        shared = regressor[:, None] * arrays["weights"].T  # (J, 16, 778)
        joint, self._bone = np.nonzero(np.any(shared != 0, axis=2))
        shared = shared[joint, self._bone]  # (P, 778), P pairs
        self._sum = np.float64(joint == np.arange(len(regressor))[:, None])  # (J, P)
        self._share = shared.sum(axis=1)[:, None]
        self._points = shared @ template
        dirs = _summed(shared, shape_dirs), _summed(shared, np.moveaxis(pose_dirs, 0, 2))
        self._dirs = np.concatenate(dirs, axis=1)  # (3 P, 10 + 135)
        self._mean_pose = arrays["mean_pose"]

    def __call__(self, pose: np.ndarray, shape: np.ndarray, trans_m: np.ndarray) -> np.ndarray:
        """Compute the joints of N hands, (N, J, 3) m, in the frame of the fit.

        A hand's joints do not depend on the others of its batch, to the last digit.

        Args:
            pose: (N, 48) axis-angle, rad, minus the mean pose; shape: (N, 10).
            trans_m: (N, 3) m.
        """
        shape = np.asarray(shape, np.float64)[..., None]
        rest = self._rest + (self._rest_dirs @ shape).reshape(-1, 16, 3)
        turns = rodrigues((pose + self._mean_pose).reshape(-1, 16, 3))
        bends = (turns[:, 1:] - np.eye(3)).reshape(-1, 135, 1)
        moved = self._dirs @ np.concatenate([shape, bends], axis=1)
        points = self._points + moved.reshape(-1, *self._points.shape)
        turns, places = turns_and_places(turns, rest)
        shifts = places - (turns @ rest[..., None])[..., 0]
        parts = (turns[:, self._bone] @ points[..., None])[..., 0]
        parts += self._share * shifts[:, self._bone]
        return self._sum @ parts + np.asarray(trans_m, np.float64)[:, None]


def _summed(weights: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Contract (P, V) and (V, 3, K) to (3 P, K)."""
    return np.tensordot(weights, directions, axes=1).reshape(-1, directions.shape[-1])
