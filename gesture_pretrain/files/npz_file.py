"""npz files: atomic writing, and reading of plain arrays of bounded size from unknown files."""

import io
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from gesture_pretrain.files.atomic import write_bytes_atomically

_SMALL_BYTES = 1 << 28
_LARGEST_RATIO = 100  # measured predictions compress by 1.1 to 4


def read_npz(
    path: Path, error: type[ValueError], *, names: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Read the arrays of an npz file.

    Args:
        path: The file.
        error: Class of the error to raise.
        names: Arrays to read, where present; None for all.

    Raises:
        FileNotFoundError: There is no such file.
        error: The file is damaged, holds Python objects, or unpacks to more than 100 times
            its size.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not path.is_file():
        raise error(f"{path} is not a file.")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except Exception as fault:  # damage makes zipfile and numpy raise errors of any class
        raise _damaged(path, error, fault) from None
    size = path.stat().st_size
    if unpacked > _SMALL_BYTES and unpacked > _LARGEST_RATIO * size:
        raise error(
            f"{path} has {size:,} bytes and would unpack to {unpacked:,}, which no file of "
            "measurements does. Store it uncompressed if it is genuine."
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if names is None or name in names}
    except Exception as fault:  # as above
        raise _damaged(path, error, fault) from None


def write_npz(path: Path | str, arrays: Mapping[str, ArrayLike]) -> Path:
    """Write arrays, numbers and strings atomically to an npz file."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_bytes_atomically(path, content.getvalue())
    return Path(path)


def _damaged(path: Path, error: type[ValueError], fault: Exception) -> ValueError:
    reason = " ".join(str(fault).split())[:200] or type(fault).__name__
    return error(
        f"{path} cannot be read as an npz file of plain arrays ({reason}). Copy it again, or save "
        "it with numpy.savez."
    )
