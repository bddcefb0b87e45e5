"""Poses that a system predicted for the images of an index, as a file.

Scores are made from such files only. A mesh is stored as the 61 numbers of the hand model that made
it and is posed again, block by block, when it is scored: 765 bytes per hand instead of 9.8 kB.

Letters: N predictions (one hand of one image each), J = 21 joints in mano21 order, V = 778 vertices
of a MANO mesh.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.poses.joint_order import JointOrderError
from gesture_pretrain.evaluation.poses.mesh_parameters import MeshParameters
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.json_file import parse_json
from gesture_pretrain.npz_file import read_npz

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
_MESH = "mesh_"  # what the arrays of `MeshParameters` are called in a file begins with


class PredictionError(ValueError):
    """A predictions file is damaged, contradicts itself, or belongs to other data."""


@dataclass(frozen=True)
class PosePredictions:
    """Predictions of one system, in the camera frame of the stored image (as stored, not cropped).

    Attributes:
        system: Name of the system, the row of a score table.
        index_fingerprint: ``HandIndex.fingerprint`` of the data that ``rows`` count in.
        rows: (N,) int64 rows of the index; a row may occur once per hand.
        hand: (N,) int64, 0 right, 1 left.
        joints_rel_mm: (N, J, 3) float32, relative to the predicted wrist.
        vertices_rel_mm: (N, V, 3) float32, relative to the same wrist; None if no mesh is made, or
            it is stored as ``mesh``.
        keypoints_image_px: (N, J, 2) float32, pixels of the stored image, or None.
        joint_depth_rel_mm: (N, J) float32, depth minus wrist depth of the 2.5D output, or None.
        provenance: Plain values: at least ``box_source`` (where the crops came from); weights,
            commit, command.
        mesh: The mesh as parameters of a hand model; ``with_vertices`` poses it.

    Raises:
        PredictionError: At construction, for a wrong shape, a repeated (row, hand), a side other
            than 0 and 1, values that are not finite, or a mesh that is given twice.
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
            object.__setattr__(self, name, _checked(name, value, shape, dtype, count))
        if np.isin(self.hand, (0, 1)).sum() < len(self):
            raise PredictionError("hand must be 0 (right) or 1 (left) for every prediction")
        keys, counts = np.unique(2 * self.rows + self.hand, return_counts=True)
        if np.any(counts > 1):
            raise PredictionError(
                f"{int(np.sum(counts > 1))} hands are predicted more than once, the first in row "
                f"{int(keys[counts > 1][0] // 2)}; keep one prediction per row and hand"
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def box_source(self) -> str | None:
        """Where the crops came from, if the predictions say so."""
        return self.provenance.get("box_source")

    @property
    def has_mesh(self) -> bool:
        """Whether meshes are known, as vertices or as parameters."""
        return self.vertices_rel_mm is not None or self.mesh is not None

    def take(self, positions: np.ndarray | slice) -> "PosePredictions":
        """The predictions at some positions (not rows)."""
        arrays = {name: getattr(self, name) for name in _SHAPES}
        kept = {name: None if a is None else a[positions] for name, a in arrays.items()}
        mesh = None if self.mesh is None else self.mesh.take(positions)
        return replace(self, **kept, mesh=mesh)

    def with_vertices(self, hand_models: Mapping[str, HandModel]) -> "PosePredictions":
        """The same predictions with the vertices of their meshes: 9.3 kB for each hand.

        Args:
            hand_models: "right" and "left", those that the parameters were predicted for.

        Raises:
            ValueError: Other hand models.
        """
        if self.mesh is None:
            return self
        vertices = self.mesh.vertices_rel_mm(self.hand, hand_models)
        return replace(self, vertices_rel_mm=vertices, mesh=None)

    def require_index(self, index: HandIndex) -> None:
        """Refuses to be compared with other data.

        Raises:
            PredictionError: Made for another index, or a row beyond its end.
        """
        if self.index_fingerprint != index.fingerprint:
            raise PredictionError(
                f"the predictions of '{self.system}' count rows of an index with fingerprint "
                f"{self.index_fingerprint[:12]}, {index.path} has {index.fingerprint[:12]}. "
                "Predict again, or give the index that they were made with"
            )
        if len(self) and not 0 <= self.rows.min() <= self.rows.max() < len(index):
            raise PredictionError(
                f"the predictions of '{self.system}' name rows {self.rows.min()} to "
                f"{self.rows.max()} of an index with {len(index)} images"
            )

    def save(self, path: Path | str) -> Path:
        """Writes an .npz that needs no pickle to be read; whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self, name) for name in _SHAPES}
        content = io.BytesIO()
        np.savez(
            content,
            format=np.array(FORMAT),
            system=np.array(self.system),
            joint_order=np.array(JOINT_ORDER),
            index_fingerprint=np.array(self.index_fingerprint),
            provenance_json=np.array(json.dumps(dict(self.provenance), sort_keys=True)),
            **{name: value for name, value in arrays.items() if value is not None},
            **self._mesh_arrays(),
        )
        write_bytes_atomically(path, content.getvalue())
        return path

    @classmethod
    def load(cls, path: Path | str) -> "PosePredictions":
        """Reads what ``save`` wrote.

        Raises:
            PredictionError: No file, not such a file, damaged, or another format version.
            JointOrderError: It states another joint order than mano21.
        """
        stored = _read_npz(Path(path))
        if stored["format"].shape or stored["format"].tolist() not in _READABLE:
            raise PredictionError(
                f"{path} has format {str(stored['format'])[:40]}; known are 1 to {FORMAT}. "
                "Predict again."
            )
        if str(stored["joint_order"]) != JOINT_ORDER:
            raise JointOrderError(
                f"{path} states joint order '{stored['joint_order']}'; a predictions file of this "
                f"toolkit is in {JOINT_ORDER}. Read it as another system's file, which reorders"
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
                f"mesh has parameters of {len(self.mesh)} hands, needed is {len(self.rows)}"
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
            "Files of other systems are read with the order and unit of their joints stated"
        )
    return content


def _checked(name: str, value, shape: tuple[int, ...], dtype, count: int) -> np.ndarray:
    array = np.asarray(value)
    if array.shape != (count, *shape):
        raise PredictionError(f"{name} is {array.shape}, needed is {(count, *shape)}")
    if array.dtype.kind not in ("iu" if dtype is np.int64 else "fiu"):
        needed = "integers" if dtype is np.int64 else "numbers"
        raise PredictionError(f"{name} is {array.dtype}, needed are {needed}")
    with np.errstate(over="ignore"):  # becomes infinite, which is refused below
        array = array.astype(dtype, copy=False)
    if dtype is np.float32 and not np.isfinite(array).all():
        bad = int(np.sum(~np.isfinite(array.reshape(count, -1)).all(1)))
        raise PredictionError(
            f"{name} holds NaN or infinity in {bad} of {count} predictions; leave out what was not "
            "predicted instead, it is then counted as missing"
        )
    return array
