"""Atomic writing of files and folders.

Content is written to a hidden sibling (`.name.<random>.part`), synced to disk, and then renamed.
After a kill or a power failure, and for concurrent readers and writers, either the old or the
complete new content exists. A killed process leaves its `.part` behind, without the lock that a
writer holds on it; `remove_abandoned_parts` deletes such files.
"""

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux's renameat2
_RELATIVE_TO_WORKING_FOLDER = -100  # AT_FDCWD


class WriteFailed(OSError):
    """A file or folder could not be written; any earlier content is unchanged.

    Attributes:
        path: File or folder to be written.
        bytes_needed: Size of the content, None if unknown.
    """

    def __init__(self, number: int | None, message: str, path: Path, bytes_needed: int | None):
        super().__init__(number, message)
        self.path, self.bytes_needed = path, bytes_needed

    def __str__(self) -> str:
        return self.args[1]


class DiskFull(WriteFailed):
    """The disk or the quota is full."""


def write_bytes_atomically(path: str | os.PathLike, data: bytes | bytearray | memoryview) -> None:
    """Create or replace one file.

    Args:
        path: File, whose folder must exist.
        data: Complete content.

    Raises:
        DiskFull: The disk is full. An earlier file of that name is unchanged.
        WriteFailed: Writing failed for another reason. An earlier file is unchanged.
    """
    path = Path(path)
    size = memoryview(data).nbytes
    part = _part_beside(path)
    try:
        with part.open("xb") as file, _locked(file.fileno()):
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _named(error, path, size) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Provide a folder to fill, which receives its name when the block ends without an error.

    Several processes may write the same folder at once. Without `overwrite`, the first to finish
    succeeds and the others raise `FileExistsError`; with it, the last to finish wins.

    Args:
        path: Final path of the folder. Missing parents are created.
        overwrite: Replace an existing folder.

    Yields:
        The hidden folder to write to.

    Raises:
        FileExistsError: `path` exists and `overwrite` is false; checked before and after the block.
        DiskFull: The disk is full. An earlier folder of that name is unchanged.
        WriteFailed: Writing failed for another reason. An earlier folder is unchanged.
    """
    path = Path(path)
    if not overwrite:
        _refuse_existing(path)
    part = _part_beside(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        handle = os.open(part, os.O_RDONLY)
    try:
        with _locked(handle):
            with writing(path, only_no_room=True):
                yield part
            with writing(path):
                _sync_tree(part)
                _take_name(part, path, overwrite)
                _sync_folder(path.parent)
    finally:
        os.close(handle)
        shutil.rmtree(part, ignore_errors=True)


def remove_abandoned_parts(
    folder: str | os.PathLike, pattern: str = "*", *, older_than_s: float = 5.0
) -> int:
    """Delete the remains of killed writers in a folder, and return their number.

    Args:
        folder: Folder that was written to.
        pattern: Name pattern of the files or folders that were written.
        older_than_s: Minimum time since the last change, s. Use 0 only without other writers.
    """
    limit = time.time() - older_than_s
    removed = 0
    for part in Path(folder).glob(f".{pattern}.part"):
        try:
            if part.lstat().st_mtime > limit or _has_writer(part):
                continue
        except FileNotFoundError:  # its writer has just finished
            continue
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
        removed += 1
    return removed


@contextmanager
def _locked(handle: int) -> Iterator[None]:
    """Mark an open file or folder as being written, if the file system supports locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass
    yield


def _has_writer(part: Path) -> bool:
    handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks here: a day without a change is taken as abandoned
        return part.lstat().st_mtime > time.time() - 86400.0
    finally:
        os.close(handle)
    return False


def _part_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")


def _take_name(part: Path, path: Path, overwrite: bool) -> None:
    """Rename `part` to `path`, replacing a non-empty folder only with `overwrite`."""
    if not overwrite:
        try:
            os.rename(part, path)
        except OSError as error:
            _refuse_existing(path)
            raise error
        return
    while not _renamed(part, path, unless=(errno.ENOTEMPTY, errno.EEXIST)):
        if _exchanged(part, path):
            return
        # outside of Linux, the name is free for an instant
        aside = _part_beside(path)
        if _renamed(path, aside, unless=(errno.ENOENT,)):
            shutil.rmtree(aside, ignore_errors=True)


def _renamed(source: Path, target: Path, unless: tuple[int, ...]) -> bool:
    """Rename and return True, or return False if the system raises an error in `unless`."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in unless:
            return False
        raise
    return True


def _exchanged(part: Path, path: Path) -> bool:
    """Swap two names atomically if the system supports it; `part` is then the old folder."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if _POSIX else None
    if renameat2 is None:
        return False
    here = _RELATIVE_TO_WORKING_FOLDER
    return renameat2(here, os.fsencode(part), here, os.fsencode(path), _EXCHANGE) == 0


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise FileExistsError(
            errno.EEXIST, f"{path} exists already. Choose another name, or pass overwrite=True"
        )


_POSIX = os.name == "posix"


def _sync_folder(folder: Path) -> None:
    """Sync the entries of a folder to disk (POSIX only)."""
    if not _POSIX:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb+") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(parent))


@contextmanager
def writing(
    path: Path, bytes_needed: int | None = None, *, only_no_room: bool = False
) -> Iterator[None]:
    """Convert system errors in a block that writes into `WriteFailed`.

    Args:
        path: File or folder for the error message.
        bytes_needed: Size of the content, if known.
        only_no_room: Convert only "no space left"; other errors may not come from writing.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        if only_no_room and not isinstance(error, WriteFailed) and error.errno not in NO_ROOM:
            raise
        raise _named(error, path, getattr(error, "bytes_needed", bytes_needed)) from error


def _named(error: OSError, path: Path, size: int | None) -> WriteFailed:
    """Build an error with path, required bytes and the state of the old content."""
    kept = (
        "What was there before is unchanged."
        if path.exists()
        else "Nothing was left under that name."
    )
    need = "" if size is None else f" ({_readable(size)} needed)"
    free = shutil.disk_usage(_existing_parent(path)).free
    # numpy reports a short write without a number
    if error.errno in NO_ROOM or (error.errno is None and size is not None and free < size):
        message = (
            f"no space left while writing {path}{need}; {_readable(free)} free there. {kept} "
            "Free some space, or write to another disk."
        )
        return DiskFull(error.errno or errno.ENOSPC, message, path, size)
    if isinstance(error, WriteFailed):
        reason = os.strerror(error.errno) if error.errno else str(error)
    else:
        reason = error.strerror or str(error)
    return WriteFailed(error.errno, f"could not write {path}{need}: {reason}. {kept}", path, size)


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if parent.exists())


def _readable(size: int) -> str:
    return f"{size} bytes" if size < 100_000 else f"{size / 1e6:.1f} MB"
