"""Lock for one process per cell, also across machines that share a folder.

The operating system releases the file lock when its process ends, even if it is killed. Some
network file systems do not share locks between machines. For these, `holder.json` states process
id, host and heartbeat; a holder on another machine counts as gone when its heartbeat is old.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gesture_pretrain.files import write_bytes_atomically

HEARTBEAT_S = 10.0
GONE_AFTER_S = 120.0


@contextmanager
def cell_lock(folder: Path, *, gone_after_s: float = GONE_AFTER_S) -> Iterator[bool]:
    """Try to become the only process that works in `folder`, without waiting.

    Args:
        folder: Folder of a cell; created if it is missing.
        gone_after_s: Age of a heartbeat after which its process counts as gone.

    Yields:
        Whether this process has the lock.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    lock = _take(folder, gone_after_s)
    if lock is None:
        yield False
        return
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(folder, stop), daemon=True)
    try:
        _write_holder(folder)
        beat.start()
        yield True
    finally:
        stop.set()
        if beat.ident is not None:
            beat.join()
        (folder / "holder.json").unlink(missing_ok=True)
        lock.release()


def delete_dead_holder(folder: Path) -> None:
    """Delete the `holder.json` of a process that was killed just after it had finished a cell."""
    if (Path(folder) / "holder.json").exists():
        with cell_lock(folder):
            pass


def holder_of(folder: Path) -> dict | None:
    """Return the content of `holder.json`; None without one."""
    try:
        return json.loads((Path(folder) / "holder.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def is_held(folder: Path, *, gone_after_s: float = GONE_AFTER_S) -> bool:
    """Return whether a process works in the folder at this moment."""
    folder = Path(folder).resolve()
    if not folder.exists():
        return False
    lock = _take(folder, gone_after_s)
    if lock is None:
        return True
    lock.release()
    return False


def _take(folder: Path, gone_after_s: float) -> FileLock | None:
    """Return the acquired lock; None if another process has it."""
    lock = FileLock(folder / "lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    if _held_elsewhere(folder, gone_after_s):
        lock.release()
        return None
    return lock


def _held_elsewhere(folder: Path, gone_after_s: float) -> bool:
    """Return whether a process on another machine has written a recent heartbeat."""
    holder = holder_of(folder)
    if holder is None or holder["host"] == socket.gethostname():
        return False
    return time.time() - holder["heartbeat"] < gone_after_s


def _beat(folder: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        _write_holder(folder)


def _write_holder(folder: Path) -> None:
    content = {"pid": os.getpid(), "host": socket.gethostname(), "heartbeat": time.time()}
    write_bytes_atomically(folder / "holder.json", json.dumps(content).encode())
