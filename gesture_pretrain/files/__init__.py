"""Files: atomic writing, and JSON and npz files of unknown origin."""

from gesture_pretrain.files.atomic import (
    NO_ROOM,
    DiskFull,
    WriteFailed,
    atomic_folder,
    named,
    require_space,
    temporary_folder,
    write_bytes_atomically,
    writing,
)

__all__ = [
    "NO_ROOM",
    "DiskFull",
    "WriteFailed",
    "atomic_folder",
    "named",
    "require_space",
    "temporary_folder",
    "write_bytes_atomically",
    "writing",
]
