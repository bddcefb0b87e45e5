"""Write an index atomically: columns with their hashes, and `meta.json`."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

import gesture_pretrain
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import file_sha256
from gesture_pretrain.data.index.meta import INDEX_FORMAT, META_FILE
from gesture_pretrain.files import atomic_folder, writing


def write_index(out: Path, root: Path, columns: dict[str, np.ndarray], meta: dict) -> Path:
    """Write an index, which replaces an earlier index in one step.

    Args:
        out: Folder of the index.
        root: Folder of the dataset; stored relative to `out` where it contains `out`, so that the
            dataset can be moved as a whole.
        columns: Name -> array.
        meta: Everything else for `meta.json`.

    Returns:
        `out`.

    Raises:
        DataError: `out` exists and is not an index.
    """
    if out.exists() and not (out / META_FILE).is_file() and not _is_empty_folder(out):
        raise DataError(
            f"{out} exists and is not an index. It is left alone; choose another folder."
        )
    out, root = out.resolve(), root.resolve()
    inside = out.is_relative_to(root)
    with atomic_folder(out, overwrite=True) as folder:
        size = sum(array.nbytes for array in columns.values())
        described = {n: _write_column(folder, n, array, size) for n, array in columns.items()}
        whole = {
            "format": INDEX_FORMAT,
            "created_by": f"gesture-pretrain {gesture_pretrain.__version__}",
            "root": os.path.relpath(root, out) if inside else str(root),
            **meta,
            "columns": described,
        }
        text = json.dumps(whole, indent=1, ensure_ascii=False)
        with writing(folder / META_FILE, size + len(text)):
            (folder / META_FILE).write_text(text, encoding="utf-8")
    return out


def _write_column(folder: Path, name: str, array: np.ndarray, bytes_needed: int) -> dict:
    file = folder / f"{name}.npy"
    with writing(file, bytes_needed):
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return {
        "file": file.name,
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "sha256": file_sha256(file),
    }


def smallest(values: np.ndarray) -> np.ndarray:
    """Convert integers to the narrowest type that holds them all."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    names = ("u1", "u2", "u4") if low >= 0 else ("i1", "i2", "i4")
    for name in names:
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return values.astype(name)
    return values.astype(np.int64)


def step_key(text: str) -> int:
    """Hash the name of a time step to 64 bits, so that its key does not depend on other data."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def path_columns(paths: dict[int, str], count: int) -> dict[str, np.ndarray]:
    """Return the columns of paths that do not follow from the other columns.

    Args:
        paths: Image -> path; other images get an empty text.
        count: Number of images.
    """
    encoded = {i: path.encode() for i, path in paths.items()}
    lengths = np.zeros(count, np.int64)
    lengths[list(encoded)] = [len(text) for text in encoded.values()]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    text = b"".join(encoded[i] for i in sorted(encoded))
    return {"path_start": starts, "path_text": np.frombuffer(text, np.uint8)}


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
