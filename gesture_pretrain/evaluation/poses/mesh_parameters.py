"""Predicted meshes as parameters of a hand model.

A mesh in the camera frame is given by a pose, a shape and an offset. If the crop was mirrored, the
mesh of the other hand is posed and then mirrored about x = 0.

Letters: N hands, V = 778 vertices.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch

from gesture_pretrain.hand.fingerprint import hand_fingerprint
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.skeleton import HANDS

MIRROR_X = np.array([-1.0, 1.0, 1.0], np.float32)
_WIDTHS = {"pose": (48,), "shape": (10,), "offset_mm": (3,), "mirrored": ()}


@dataclass(frozen=True)
class MeshParameters:
    """Meshes of N hands.

    Attributes:
        pose: (N, 48) float32 axis-angle, rad, relative to the mean pose.
        shape: (N, 10) float32 shape coefficients.
        offset_mm: (N, 3) float32, added to the mesh after mirroring.
        mirrored: (N,) bool, whether the other hand is posed and its mesh mirrored about x = 0.
        hand_models: "right" and "left" to the fingerprint of the model, without fingertips.

    Raises:
        ValueError: An array has a wrong shape or is not finite.
    """

    pose: np.ndarray
    shape: np.ndarray
    offset_mm: np.ndarray
    mirrored: np.ndarray
    hand_models: Mapping[str, str]

    def __post_init__(self) -> None:
        for name, width in _WIDTHS.items():
            values = np.asarray(getattr(self, name))
            if values.shape != (len(self.pose), *width):
                raise ValueError(
                    f"mesh {name} has shape {values.shape}; expected {(len(self.pose), *width)}"
                )
            if not np.isfinite(values).all():
                raise ValueError(f"mesh {name} contains NaN or infinity")
            kind = bool if name == "mirrored" else np.float32
            object.__setattr__(self, name, values.astype(kind, copy=False))

    def __len__(self) -> int:
        return len(self.pose)

    def take(self, positions: np.ndarray | slice) -> "MeshParameters":
        """Return the parameters at some positions."""
        kept = {name: getattr(self, name)[positions] for name in _WIDTHS}
        return MeshParameters(**kept, hand_models=self.hand_models)

    def vertices_rel_mm(self, hand: np.ndarray, hand_models: Mapping[str, HandModel]) -> np.ndarray:
        """Pose the meshes: (N, V, 3) float32.

        Args:
            hand: (N,) 0 right, 1 left: which hand each mesh shows.
            hand_models: "right" and "left".

        Raises:
            ValueError: The hand models are not those that the parameters were predicted for.
        """
        self._require_models(hand_models)
        return self.offset_mm[:, None] + posed_mm(
            self.pose, self.shape, hand, self.mirrored, hand_models
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all fields as arrays without pickled data."""
        arrays = {name: getattr(self, name) for name in _WIDTHS}
        return {**arrays, "hand_models": np.array(json.dumps(dict(self.hand_models)))}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "MeshParameters":
        """Restore parameters from `to_arrays`.

        Raises:
            ValueError: An array is missing or has a wrong shape.
        """
        names = [item.name for item in fields(cls)]
        if missing := sorted(set(names) - set(arrays)):
            raise ValueError(f"the mesh parameters lack {', '.join(missing)}")
        models = json.loads(str(arrays["hand_models"]))
        return cls(**{name: arrays[name] for name in _WIDTHS}, hand_models=models)

    def _require_models(self, hand_models: Mapping[str, HandModel]) -> None:
        found = mesh_fingerprints(hand_models)
        if other := [side for side in found if found[side] != self.hand_models.get(side)]:
            raise ValueError(
                f"the meshes were predicted with another {' and '.join(other)} hand model than the "
                "one given here (its fingerprint differs). Score with the hand model that the "
                "network was trained with."
            )


def mesh_fingerprints(hand_models: Mapping[str, HandModel]) -> dict[str, str]:
    """Return "right" and "left" to the fingerprint of the model that poses that hand's mesh."""
    return {side: hand_fingerprint(hand_models[side], tips=False) for side in HANDS}


def posed_mm(
    pose: np.ndarray,
    shape: np.ndarray,
    hand: np.ndarray,
    mirrored: np.ndarray,
    hand_models: Mapping[str, HandModel],
) -> np.ndarray:
    """Pose meshes without translation: (N, V, 3) float32, mm.

    Args:
        pose: (N, 48) axis-angle, rad, relative to the mean pose.
        shape: (N, 10) shape coefficients.
        hand: (N,) 0 right, 1 left: which hand each mesh shows.
        mirrored: (N,) bool: pose the other hand and mirror its mesh about x = 0.
        hand_models: "right" and "left".
    """
    vertices = np.empty((len(pose), 778, 3), np.float32)
    of_model = np.where(mirrored, 1 - hand, hand)
    for code, side in enumerate(HANDS):
        if len(chosen := np.flatnonzero(of_model == code)):
            vertices[chosen] = _vertices_mm(hand_models[side], pose[chosen], shape[chosen])
    vertices[mirrored] *= MIRROR_X
    return vertices


def _vertices_mm(model: HandModel, pose: np.ndarray, shape: np.ndarray) -> np.ndarray:
    like = next(buffer for buffer in model.buffers() if buffer.is_floating_point())
    pose, shape = (torch.as_tensor(values).to(like) for values in (pose, shape))
    with torch.no_grad():
        mesh = model(pose, shape, pose.new_zeros(len(pose), 3))
    return 1000 * mesh.vertices_m.cpu().float().numpy()
