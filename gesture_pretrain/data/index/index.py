"""The index of a dataset: its annotations as memory-mapped columns, shared between processes.

An index is a folder with one `.npy` file per column and a `meta.json`. Opening it maps the files
and reads nothing else, so all worker processes share one copy in the system's page cache. It holds
the annotations bit for bit (their numbers are float32): images in the order of their file, one
`step` (time step of a capture) for all its views, and one calibration per camera and capture.
`data.interhand` and `data.folders` write indexes.

Hand axis: 0 = right, 1 = left. Joints: mano21 order (`gesture_pretrain.skeleton`). Joints are in
millimetres, translations of MANO fits in metres, both in the world frame of the capture; pixels are
those of the stored image.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from gesture_pretrain.data.index.errors import IndexFormatError
from gesture_pretrain.data.index.meta import INDEX_FORMAT, index_folder, read_meta
from gesture_pretrain.data.index.record import (
    HANDS,
    SPLITS,
    HandRecord,
    ManoFit,
    unpack_flags,
)
from gesture_pretrain.data.index.selection import select_rows

_HASH_BLOCK_BYTES = 1 << 22

__all__ = ["HANDS", "INDEX_FORMAT", "SPLITS", "HandIndex", "HandRecord", "ManoFit"]


class HandIndex:
    """An opened index. Make it with `HandIndex.open`; it can be pickled to worker processes.

    Attributes:
        path: Folder of the index.
        root: Folder of the dataset.
        meta: The content of `meta.json`.
        columns: Name -> memory-mapped array. Columns without prefix have a row per image;
            `step_*` a row per time step, `camera_*` per calibration, `mano` per fit.
    """

    def __init__(self, path: Path, root: Path, meta: dict, columns: dict[str, np.ndarray]):
        self.path, self.root = path, root
        self.meta: Mapping[str, Any] = MappingProxyType(meta)
        self.columns: Mapping[str, np.ndarray] = MappingProxyType(columns)
        # plain views of the same memory: indexing a np.memmap costs several times as much
        self._arrays = {name: column.view(np.ndarray) for name, column in columns.items()}
        self._image_folders = {
            split: str(root / folder) for split, folder in meta["image_folders"].items()
        }

    @classmethod
    def open(
        cls, path: str | Path, *, root: str | Path | None = None, verify: bool = False
    ) -> HandIndex:
        """Map an index.

        Args:
            path: Folder with `meta.json`, or a dataset's folder that holds one as `index`.
            root: Folder of the dataset, if it was moved.
            verify: Also compare each column with its hash in `meta.json`.

        Raises:
            DataError: The folder does not exist.
            IndexFormatError: Not an index, another format version, or changed columns.
        """
        path = index_folder(Path(path))
        meta = read_meta(path)
        columns = {name: _map_column(path, name, spec) for name, spec in meta["columns"].items()}
        home = Path(root) if root is not None else path / meta["root"]
        index = cls(path, home.resolve(), meta, columns)
        if verify:
            index.verify_columns()
        return index

    def __reduce__(self) -> tuple:
        return partial(HandIndex.open, root=self.root), (self.path,)

    def __len__(self) -> int:
        return len(self._arrays["step"])

    def __repr__(self) -> str:
        return f"HandIndex({str(self.path)!r}: {len(self)} images of {self.meta['data_name']})"

    @property
    def labels(self) -> list[str]:
        """Return the distinct source labels (sequence or folder names), indexed by `sequence`."""
        return self.meta["labels"]

    @property
    def fingerprint(self) -> str:
        """Return the hex hash of the content, which predictions refer to."""
        content = {key: self.meta[key] for key in ("columns", "labels", "cameras")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def hand_of(self, row: int) -> str:
        """Return the hand annotated in an image: a member of `HANDS`."""
        return HANDS[self._arrays["hand"][row]]

    def values(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Return a quantity per image, stored or derived.

        Args:
            name: A column with a row per image, or split (position in `SPLITS`), capture, frame,
                width, height, grey_camera.
            rows: Rows of images; None for all.
        """
        rows = slice(None) if rows is None else rows
        if name in ("split", "capture", "frame"):
            return self._arrays[f"step_{name}"][self._arrays["step"][rows]]
        if name in ("width", "height"):
            sizes = np.asarray(self.meta["image_sizes"], np.int32)
            return sizes[self._arrays["size"][rows], ("width", "height").index(name)]
        if name == "grey_camera":
            return self._is_grey()[self._arrays["camera"][rows]]
        if name not in self._arrays or len(self._arrays[name]) != len(self):
            known = [key for key, column in self._arrays.items() if len(column) == len(self)]
            raise KeyError(
                f"no quantity {name!r} per image; there are split, capture, frame, width, height, "
                f"grey_camera, {', '.join(known)}"
            )
        return self._arrays[name][rows]

    def _is_grey(self) -> np.ndarray:
        return np.array([self._names_grey(camera) for camera in self.meta["cameras"]], bool)

    def _names_grey(self, camera: str) -> bool:
        return self.meta["kind"] == "interhand26m" and camera.startswith("41")

    def _number(self, column: str, i: int) -> int:
        """Return entry `i` of a column; -1 if the index has no such column."""
        values = self._arrays.get(column)
        return -1 if values is None else values.item(i)

    def image_path(self, i: int) -> Path:
        """Return the absolute path of image `i`, which may not exist."""
        return Path(self.image_file(i))

    def image_file(self, i: int) -> str:
        """Return `image_path` as a string, in a third of the time."""
        step = self._number("step", i)
        folder = self._image_folders[SPLITS[self._number("step_split", step)]]
        return f"{folder}/{self._relative_path(i, step)}"

    def _relative_path(self, i: int, step: int) -> str:
        starts = self._arrays.get("path_start")
        if starts is not None:
            start, end = starts.item(i), starts.item(i + 1)
            if end > start:
                return self._arrays["path_text"][start:end].tobytes().decode()
        capture, frame = self._number("step_capture", step), self._number("step_frame", step)
        label = self.labels[self._number("sequence", i)]
        camera = self.meta["cameras"][self._number("camera", i)]
        return f"Capture{capture}/{label}/cam{camera}/image{frame}.jpg"

    def record(self, i: int) -> HandRecord:
        """Return all annotations of image `i`.

        Raises:
            IndexError: `i` is not in 0 ... len - 1.
        """
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of an index with {len(self)} images")
        i = int(i)
        step, camera = self._number("step", i), self._number("camera", i)
        triangulated, joints = self._joints(step)
        rotation, center, focal, princpt = self._calibration(i)
        camera_name = self.meta["cameras"][camera] if camera >= 0 else ""
        return HandRecord(
            row=i,
            image_path=self.image_path(i),
            split=SPLITS[self._number("step_split", step)],
            capture=self._number("step_capture", step),
            subject=self._number("subject", i),
            label=self.labels[self._number("sequence", i)],
            camera=camera_name,
            frame=self._number("step_frame", step),
            image_size_wh=tuple(self.meta["image_sizes"][self._number("size", i)]),
            hand=self.hand_of(i),
            hand_type_valid=self._number("hand_valid", i) == 1,
            bbox_xywh_px=self._box(i),
            joints_world_mm=joints,
            joint_triangulated=triangulated,
            joint_in_view=self._in_view(i),
            R_cam_world=rotation,
            camera_center_mm=center,
            focal_px=focal,
            princpt_px=princpt,
            mano=self._fits(step),
            image_id=self._number("image_id", i),
            grey_camera=self._names_grey(camera_name),
        )

    def _box(self, i: int) -> np.ndarray | None:
        boxes = self._arrays.get("bbox_xywh_px")
        if boxes is None or boxes[i, 0] != boxes[i, 0]:  # NaN: this image has no annotation
            return None
        return boxes[i].copy()

    def _in_view(self, i: int) -> np.ndarray:
        bits = self._arrays.get("in_view_bits")
        return np.zeros((2, 21), bool) if bits is None else unpack_flags(bits[i])

    def _joints(self, step: int) -> tuple[np.ndarray, np.ndarray | None]:
        known = self._arrays.get("step_has_joints")
        if known is None or not known[step]:
            return np.zeros((2, 21), bool), None
        triangulated = unpack_flags(self._arrays["step_triangulated_bits"][step])
        joints = self._arrays["step_joints_world_mm"][step].copy()
        joints[~triangulated] = np.nan
        return triangulated, joints

    def _calibration(self, i: int) -> tuple[np.ndarray | None, ...]:
        of_image = self._arrays.get("calibration")
        k = -1 if of_image is None else of_image[i]
        if k < 0:
            return None, None, None, None
        return tuple(
            self._arrays[name][k].copy()
            for name in (
                "camera_R_cam_world", "camera_center_mm", "camera_focal_px", "camera_princpt_px"
            )
        )  # fmt: skip

    def _fits(self, step: int) -> dict[str, ManoFit | None]:
        fits = dict.fromkeys(HANDS[:2])
        if "step_mano" in self._arrays:
            for hand, row in zip(fits, self._arrays["step_mano"][step].tolist(), strict=True):
                if row >= 0:
                    numbers = self._arrays["mano"][row].copy()
                    fits[hand] = ManoFit(numbers[:48], numbers[48:58], numbers[58:])
        return fits

    def select(self, split: str | None = None, **filters: Any) -> np.ndarray:
        """Select the rows that pass every filter; see `data.index.selection.select_rows`."""
        return select_rows(self, split=split, **filters)

    def verify_columns(self) -> None:
        """Compare every column file with its hash.

        Raises:
            IndexFormatError: Some columns differ.
        """
        changed = [
            name
            for name, spec in self.meta["columns"].items()
            if file_sha256(self.path / spec["file"]) != spec["sha256"]
        ]
        if changed:
            raise IndexFormatError(
                f"{self.path}: the columns {', '.join(changed)} were changed (hash "
                "differs). Build the index again."
            )


def file_sha256(path: Path) -> str:
    """Return the hex hash of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _map_column(path: Path, name: str, spec: dict) -> np.memmap:
    file = path / spec["file"]
    if not file.is_file():
        raise IndexFormatError(f"{file} is missing or is not a file; build the index again")
    try:
        column = np.lib.format.open_memmap(file, mode="r")  # np.load would also open a zip
    except Exception as error:  # a damaged header makes numpy raise errors of any class
        raise IndexFormatError(
            f"{file}: column {name} cannot be mapped ({error}); build the index again"
        ) from None
    if list(column.shape) != spec["shape"] or column.dtype.str != spec["dtype"]:
        raise IndexFormatError(
            f"{file}: column {name} is {column.dtype.str} {column.shape}, meta.json says "
            f"{spec['dtype']} {tuple(spec['shape'])}; build the index again"
        )
    return column
