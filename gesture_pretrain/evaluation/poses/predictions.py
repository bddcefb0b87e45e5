"""Predicted poses for the images of an index, and their files.

All scores are computed from such files. A mesh is stored as its 61 hand-model parameters and posed
again, block by block, when it is scored: 765 bytes per hand instead of 9.8 kB.

Letters: N predictions (one hand of one image each), J = 21 joints in mano21 order, V = 778 vertices
of a MANO mesh.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.poses.joint_order import JointOrderError
from gesture_pretrain.evaluation.poses.mesh_parameters import MeshParameters
from gesture_pretrain.files.json_file import parse_json
from gesture_pretrain.files.npz_file import read_npz, write_npz
from gesture_pretrain.hand.model import HandModel

JOINT_ORDER = "mano21"
FORMAT = 2
_READABLE = (1, 2)  # 1 has no mesh parameters
_SHAPES = {
    "rows": (),
    "hand": (),
    "joints_rel_mm": (21, 3),
    "vertices_rel_mm": (778, 3),
    "keypoints_image_px": (21, 2),
    "joint_depth_rel_mm": (21,),
}
_INTEGERS = ("rows", "hand")
_OPTIONAL = ("vertices_rel_mm", "keypoints_image_px", "joint_depth_rel_mm")
_MESH = "mesh_"  # prefix of the arrays of `MeshParameters` in a file


class PredictionError(ValueError):
    """A predictions file is damaged, inconsistent, or belongs to other data."""


@dataclass(frozen=True)
class PosePredictions:
    """Predictions of one system, in the camera frame of the stored (uncropped) image.

    Attributes:
        system: Name of the system in score tables.
        index_fingerprint: ``HandIndex.fingerprint`` of the index that ``rows`` refer to.
        rows: (N,) int64 rows of the index; a row may occur once per hand.
        hand: (N,) int64, 0 right, 1 left.
        joints_rel_mm: (N, J, 3) float32, relative to the predicted wrist.
        vertices_rel_mm: (N, V, 3) float32, relative to the same wrist; None without a mesh, or if
            it is stored as ``mesh``.
        keypoints_image_px: (N, J, 2) float32, pixels of the stored image, or None.
        joint_depth_rel_mm: (N, J) float32, depth minus wrist depth of the 2.5D output, or None.
        provenance: Plain values, such as ``box_source`` (origin of the crop boxes), weights, commit
            and command.
        mesh: Mesh as parameters of a hand model; ``with_vertices`` poses it.

    Raises:
        PredictionError: An array has a wrong shape or is not finite, a (row, hand) is repeated, a
            hand is not 0 or 1, or the mesh is given twice.
    """

    system: str
    index_fingerprint: str
    rows: np.ndarray
    hand: np.ndarray
    joints_rel_mm: np.ndarray
    vertices_rel_mm: np.ndarray | None = None
    keypoints_image_px: np.ndarray | None = None
    joint_depth_rel_mm: np.ndarray | None = None
    provenance: Mapping = field(default_factory=dict)
    mesh: MeshParameters | None = None

    def __post_init__(self) -> None:
        if not self.system:
            raise PredictionError("predictions need the name of their system")
        self._check_mesh()
        for name, shape in _SHAPES.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            dtype = np.int64 if name in _INTEGERS else np.float32
            count = len(np.atleast_1d(self.rows))
            object.__setattr__(self, name, _convert(name, value, shape, dtype, count))
        if np.isin(self.hand, (0, 1)).sum() < len(self):
            raise PredictionError("hand must be 0 (right) or 1 (left) for every prediction")
        keys, counts = np.unique(2 * self.rows + self.hand, return_counts=True)
        if np.any(counts > 1):
            raise PredictionError(
                f"{int(np.sum(counts > 1))} hands are predicted more than once, first in row "
                f"{int(keys[counts > 1][0] // 2)}. Keep one prediction per row and hand"
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def box_source(self) -> str | None:
        """Origin of the crop boxes; None if not stated."""
        return self.provenance.get("box_source")

    @property
    def has_mesh(self) -> bool:
        """Return whether there are meshes, as vertices or as parameters."""
        return self.vertices_rel_mm is not None or self.mesh is not None

    def take(self, positions: np.ndarray | slice) -> "PosePredictions":
        """Select predictions by position (not by row)."""
        arrays = {name: getattr(self, name) for name in _SHAPES}
        kept = {name: None if a is None else a[positions] for name, a in arrays.items()}
        mesh = None if self.mesh is None else self.mesh.take(positions)
        return replace(self, **kept, mesh=mesh)

    def with_vertices(self, hand_models: Mapping[str, HandModel]) -> "PosePredictions":
        """Pose the meshes; the vertices take 9.3 kB per hand.

        Args:
            hand_models: "right" and "left" hand model that the parameters were predicted for.

        Raises:
            ValueError: The hand models differ.
        """
        if self.mesh is None:
            return self
        vertices = self.mesh.vertices_rel_mm(self.hand, hand_models)
        return replace(self, vertices_rel_mm=vertices, mesh=None)

    def require_index(self, index: HandIndex) -> None:
        """Check that the predictions belong to an index.

        Raises:
            PredictionError: They belong to another index, or a row is out of range.
        """
        if self.index_fingerprint != index.fingerprint:
            raise PredictionError(
                f"the predictions of '{self.system}' belong to an index with fingerprint "
                f"{self.index_fingerprint[:12]}, but {index.path} has {index.fingerprint[:12]}. "
                "Predict again, or pass the index that they were made with"
            )
        if len(self) and not 0 <= self.rows.min() <= self.rows.max() < len(index):
            raise PredictionError(
                f"the predictions of '{self.system}' refer to rows {self.rows.min()} to "
                f"{self.rows.max()} of an index with {len(index)} images"
            )

    def save(self, path: Path | str) -> Path:
        """Write an .npz without pickled data, atomically."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self, name) for name in _SHAPES}
        facts = {
            "format": FORMAT,
            "system": self.system,
            "joint_order": JOINT_ORDER,
            "index_fingerprint": self.index_fingerprint,
            "provenance_json": json.dumps(dict(self.provenance), sort_keys=True),
        }
        arrays = {name: value for name, value in arrays.items() if value is not None}
        return write_npz(path, facts | arrays | self._mesh_arrays())

    @classmethod
    def load(cls, path: Path | str) -> "PosePredictions":
        """Read a file of ``save``.

        Raises:
            PredictionError: The file is missing, damaged, or of another format or version.
            JointOrderError: The file states a joint order other than mano21.
        """
        stored = _read_npz(Path(path))
        if stored["format"].shape or stored["format"].tolist() not in _READABLE:
            raise PredictionError(
                f"{path} has format {str(stored['format'])[:40]}; supported are 1 to {FORMAT}. "
                "Predict again."
            )
        if str(stored["joint_order"]) != JOINT_ORDER:
            raise JointOrderError(
                f"{path} states joint order '{stored['joint_order']}', but files of this "
                f"toolkit use {JOINT_ORDER}. Read it as another system's file, which reorders"
            )
        provenance = parse_json(str(stored["provenance_json"]), str(path), PredictionError)
        if not isinstance(provenance, dict):
            raise PredictionError(f"{path}: provenance_json is not a JSON object")
        arrays = {name: stored.get(name) for name in _SHAPES}
        try:
            return cls(
                str(stored["system"]),
                str(stored["index_fingerprint"]),
                **arrays,
                provenance=provenance,
                mesh=_stored_mesh(stored),
            )
        except PredictionError as error:
            raise PredictionError(f"{path}: {error}") from None

    def _mesh_arrays(self) -> dict[str, np.ndarray]:
        if self.mesh is None:
            return {}
        return {f"{_MESH}{name}": values for name, values in self.mesh.to_arrays().items()}

    def _check_mesh(self) -> None:
        if self.mesh is None:
            return
        if self.vertices_rel_mm is not None:
            raise PredictionError("a mesh is given as vertices or as parameters, not as both")
        if len(self.mesh) != len(self.rows):
            raise PredictionError(
                f"mesh has parameters of {len(self.mesh)} hands; expected {len(self.rows)}"
            )


def _stored_mesh(stored: Mapping[str, np.ndarray]) -> MeshParameters | None:
    arrays = {n.removeprefix(_MESH): v for n, v in stored.items() if n.startswith(_MESH)}
    if not arrays:
        return None
    try:
        return MeshParameters.from_arrays(arrays)
    except ValueError as error:
        raise PredictionError(str(error)) from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    content = read_npz(path, PredictionError)
    needed = {"format", "system", "joint_order", "index_fingerprint", "provenance_json"}
    needed |= _SHAPES.keys() - set(_OPTIONAL)
    if missing := sorted(needed - content.keys()):
        raise PredictionError(
            f"{path} lacks {', '.join(missing)}, so it is not a predictions file of this toolkit. "
            "For files of other systems, state the order and unit of their joints"
        )
    return content


def _convert(name: str, value, shape: tuple[int, ...], dtype, count: int) -> np.ndarray:
    array = np.asarray(value)
    if array.shape != (count, *shape):
        raise PredictionError(f"{name} has shape {array.shape}; expected {(count, *shape)}")
    if array.dtype.kind not in ("iu" if dtype is np.int64 else "fiu"):
        needed = "integers" if dtype is np.int64 else "numbers"
        raise PredictionError(f"{name} is {array.dtype}; expected {needed}")
    with np.errstate(over="ignore"):  # becomes infinite, which is rejected below
        array = array.astype(dtype, copy=False)
    if dtype is np.float32 and not np.isfinite(array).all():
        bad = int(np.sum(~np.isfinite(array.reshape(count, -1)).all(1)))
        raise PredictionError(
            f"{name} contains NaN or infinity in {bad} of {count} predictions. Leave out hands "
            "that were not predicted; they are counted as missing"
        )
    return array
