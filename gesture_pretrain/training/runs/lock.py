"""One run per run folder, from its start on: before its first checkpoint, too."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gesture_pretrain.training.device import rank_and_world_size
from gesture_pretrain.training.runs.checkpoint import full_disk_named, refuse_used_folder

_NO_LOCKS_THERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def run_lock(out: Path, *, resume: bool) -> Iterator[None]:
    """Keeps every other run out of the run folder `out`, which is made where missing.

    The first process of a run holds the lock. The system gives it up when the process ends,
    however it ends; the file `lock` stays. A file system without locks is said and used without.

    Raises:
        FileExistsError: another run is in the folder; or one has left checkpoints and `resume` is
            false.
    """
    if rank_and_world_size()[0] > 0:
        yield
        return
    with _locked(Path(out) / "lock"):
        refuse_used_folder(Path(out), resume)
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with full_disk_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise FileExistsError(_taken(path)) from error
            if error.errno not in _NO_LOCKS_THERE:
                raise
            print(f"The file system of {path.parent} has no locks; start no second run there.")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def _taken(path: Path) -> str:
    holder = path.read_text() or "which has just begun"
    return (
        f"{path.parent} is in use by another run ({holder}). Choose another --out, or wait for it "
        "to end."
    )
