"""Storage of predicted meshes as hand-model parameters, checked batch by batch."""

from collections.abc import Mapping

import numpy as np

from adapters.pose.frames import CameraPrediction
from gesture_pretrain.evaluation.poses.mesh_parameters import (
    MeshParameters,
    mesh_fingerprints,
    posed_mm,
)
from gesture_pretrain.hand.model import HandModel

TOLERANCE_MM = 0.02  # float32 parameters pose a mesh again to 0.001 mm


class MeshStorage:
    """Convert the meshes of batches to parameters, if they are the hand model's.

    The first batch decides. A network whose meshes are not those of its MANO parameters has its
    vertices stored, which takes twelve times the space.

    Args:
        hand_models: "right" and "left", those of the network; None stores vertices.
    """

    def __init__(self, hand_models: Mapping[str, HandModel] | None):
        self._hand_models = hand_models
        self._fingerprints = {} if hand_models is None else mesh_fingerprints(hand_models)
        self._as_parameters = None if hand_models is not None else False

    def arrays(self, camera: CameraPrediction) -> dict[str, np.ndarray]:
        """Return what is stored of a batch, by name.

        Raises:
            ValueError: The first batch's meshes were the hand model's and these are not.
        """
        content = {name: values for name, values in camera._asdict().items() if values is not None}
        pose, shape = content.pop("mano_pose", None), content.pop("mano_shape", None)
        mirrored = content.pop("mirrored")
        if any(values is None for values in (camera.vertices_rel_mm, pose, shape)):
            return content
        if self._as_parameters is False:
            return content
        posed = posed_mm(pose, shape, camera.hand, mirrored, self._hand_models)
        offset_mm = (camera.vertices_rel_mm - posed).mean(1)
        error_mm = np.abs(posed + offset_mm[:, None] - camera.vertices_rel_mm).max()
        if self._as_parameters is None:
            self._as_parameters = bool(error_mm <= TOLERANCE_MM)
            if not self._as_parameters:
                print(f"Meshes are stored as vertices: parameters miss them by {error_mm:.2g} mm.")
                return content
        if error_mm > TOLERANCE_MM:
            raise ValueError(
                f"A predicted mesh is {error_mm:.2g} mm from the mesh of its MANO parameters; at "
                f"most {TOLERANCE_MM} mm is allowed. Return mano_pose and mano_shape of the mesh."
            )
        del content["vertices_rel_mm"]
        mesh = {"pose": pose, "shape": shape, "offset_mm": offset_mm, "mirrored": mirrored}
        return {**content, **{f"mesh_{name}": values for name, values in mesh.items()}}

    def predictions(self, arrays: Mapping[str, np.ndarray]) -> dict:
        """Convert the joined arrays of all batches to arguments of `PosePredictions`."""
        own = {name: values for name, values in arrays.items() if not name.startswith("mesh_")}
        if len(own) == len(arrays):
            return own
        mesh = {n.removeprefix("mesh_"): v for n, v in arrays.items() if n not in own}
        return {**own, "mesh": MeshParameters(**mesh, hand_models=self._fingerprints)}
