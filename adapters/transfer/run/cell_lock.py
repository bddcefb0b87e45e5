"""One process per cell, also across machines that share a folder.

`lock` is held by a POSIX lock, which the system releases when its process ends, however it ends.
`holder.json` tells who holds it (process id, host, heartbeat): for people, and for machines between
which the file system passes no locks. There a holder counts as gone when its heartbeat is old.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gesture_pretrain.files import write_bytes_atomically

HEARTBEAT_S = 10.0
GONE_AFTER_S = 120.0

_held_here: set[Path] = set()  # a POSIX lock does not keep its own process out
# ... and is gone when the process closes any handle of the file. So looking at `_held_here` and
# opening or closing a lock's file are one step.
_one_step = threading.Lock()


@contextmanager
def cell_lock(folder: Path, *, gone_after_s: float = GONE_AFTER_S) -> Iterator[bool]:
    """Tries to become the only process that works in `folder`; made where missing.

    Yields:
        Whether this process has the lock. Never waits for another to end.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    file = _take(folder, gone_after_s)
    if file is None:
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
        _release(folder, file)


def holder_of(folder: Path) -> dict | None:
    """Who works in a cell's folder by its own account; None where nobody says so."""
    try:
        return json.loads((Path(folder) / "holder.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def is_held(folder: Path, *, gone_after_s: float = GONE_AFTER_S) -> bool:
    """Whether a process works in the folder now; may be out of date when it is read."""
    folder = Path(folder).resolve()
    with _one_step:
        if folder in _held_here:
            return True
        if not (folder / "lock").exists():
            return False
        with (folder / "lock").open("a") as file:
            return not _locked(file) or _held_elsewhere(folder, gone_after_s)


def _take(folder: Path, gone_after_s: float) -> TextIO | None:
    """The lock's file, locked; None where another worker has it."""
    with _one_step:
        if folder in _held_here:
            return None
        file = (folder / "lock").open("a")
        if not _locked(file) or _held_elsewhere(folder, gone_after_s):
            file.close()
            return None
        _held_here.add(folder)
        return file


def _release(folder: Path, file: TextIO) -> None:
    with _one_step:
        (folder / "holder.json").unlink(missing_ok=True)
        file.close()
        _held_here.discard(folder)


def _locked(file) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _held_elsewhere(folder: Path, gone_after_s: float) -> bool:
    """Whether a process of another machine says that it is at work and was heard of lately."""
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
