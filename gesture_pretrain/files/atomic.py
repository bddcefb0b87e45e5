"""Atomic writing of files and folders.

Content is written to a hidden sibling (`.name.<random>.part`), synced to disk, and then renamed.
After a kill or a power failure, and for concurrent readers and writers, either the old or the
complete new content exists. A killed process leaves its `.part` behind, without the lock that a
writer holds on it; the next process that writes to the folder deletes it. No maintained library
does this for folders.
"""

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_PART = re.compile(r"\.[0-9a-f]{12}\.part$")
_SYNCED_AT_ONCE = 32
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

    def __reduce__(self) -> tuple:
        return type(self), (*self.args, self.path, self.bytes_needed)

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
    with writing(path, size):
        _clean_once(path.parent)
        part, handle = _new_part(path, _new_file)
        try:
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
                os.replace(part, path)
            _sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(
    path: str | os.PathLike, *, overwrite: bool = False, bytes_needed: int | None = None
) -> Iterator[Path]:
    """Provide a folder to fill, which receives its name when the block ends without an error.

    Several processes may write the same folder at once. Without `overwrite`, the first to finish
    succeeds and the others raise `FileExistsError`; with it, the last to finish wins.

    Args:
        path: Final path of the folder. Missing parents are created.
        overwrite: Replace an existing folder.
        bytes_needed: Least size of the content, if known. With less free space, nothing is written.

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
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clean_once(path.parent)
        require_space(path, bytes_needed)
        part, handle = _new_part(path, _new_folder)
    try:
        with writing(path, bytes_needed, only_no_room=True):
            yield part
        with writing(path, bytes_needed):
            _sync_tree(part)
            _take_name(part, path, overwrite)
            _sync_folder(path.parent)
    finally:
        os.close(handle)
        shutil.rmtree(part, ignore_errors=True)


def remove_abandoned_parts(folder: str | os.PathLike) -> int:
    """Delete what killed writers have left in a folder, and return the number of files.

    Every writer does this once per folder and process.
    """
    parts = [path for path in Path(folder).glob(".*.part") if _PART.search(path.name)]
    return sum(map(_removed_if_abandoned, parts))


@lru_cache(maxsize=1024)
def _clean_once(folder: Path) -> None:
    remove_abandoned_parts(folder)


@contextmanager
def temporary_folder(
    parent: str | os.PathLike | None = None, bytes_needed: int | None = None
) -> Iterator[Path]:
    """Provide a folder in `parent`, or where temporary files go, and delete it afterwards.

    Args:
        parent: Where to make it; None for the system's folder of temporary files.
        bytes_needed: Least size of the content, if known; see `require_space`.

    Raises:
        DiskFull: There is no space. The error names the folder.
    """
    with TemporaryDirectory(dir=parent) as folder:
        with writing(Path(folder), bytes_needed, only_no_room=True):
            require_space(Path(folder), bytes_needed)
            yield Path(folder)


def require_space(path: str | os.PathLike, bytes_needed: int | None) -> None:
    """Refuse to begin writing what cannot fit.

    Args:
        path: File or folder to be written.
        bytes_needed: Least size of the content; None if unknown.

    Raises:
        DiskFull: Less space is free. The error names the path, the space needed and the free space.
    """
    path = Path(path)
    if bytes_needed is not None and shutil.disk_usage(_existing_parent(path)).free < bytes_needed:
        raise _named(OSError(errno.ENOSPC, ""), path, bytes_needed)


def named(error: OSError) -> OSError:
    """Return `error`, or a `DiskFull` with path and free space if it reports a full disk."""
    if isinstance(error, WriteFailed) or error.errno not in NO_ROOM or not error.filename:
        return error
    return _named(error, Path(os.fsdecode(error.filename)), None)


def _new_part(path: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    """Create a locked part beside `path`.

    Until it is locked, another process may take a part for abandoned and delete it.

    Args:
        path: Final name.
        make: Creates a file or folder and returns its open handle.

    Returns:
        The part, and its handle, which holds the lock until it is closed.
    """
    while True:
        part = _part_beside(path)
        handle = make(part)
        if _lock(handle) is not False and part.exists():
            return part, handle
        os.close(handle)


def _lock(handle: int) -> bool | None:
    """Lock an open file or folder; False if it is locked, None without support for locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _removed_if_abandoned(part: Path) -> bool:
    try:
        handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # its writer has just finished, it is a link, or it may not be read
        return False
    try:
        locked = _lock(handle)
        # without locks, a day without a change is taken as abandoned
        if locked is False or (locked is None and part.lstat().st_mtime > time.time() - 86400.0):
            return False
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
    except PermissionError:  # another user's, which must not stop this writer
        return False
    finally:
        os.close(handle)
    return True


def _new_file(part: Path) -> int:
    return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _new_folder(part: Path) -> int:
    part.mkdir()
    return os.open(part, os.O_RDONLY)


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
    """Sync all files and folders to disk. File systems combine concurrent syncs."""
    walked = list(os.walk(folder))
    files = [Path(parent, name) for parent, _, names in walked for name in names]
    with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
        list(pool.map(_sync_file, files))
        list(pool.map(_sync_folder, [Path(parent) for parent, _, _ in walked]))


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


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
    need = "" if size is None else f" (at least {_readable(size)} needed)"
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
