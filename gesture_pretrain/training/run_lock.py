"""A lock that allows only one run per run folder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.checkpoint import full_disk_named, refuse_used_folder


@contextmanager
def run_lock(out: Path, *, resume: bool) -> Iterator[None]:
    """Lock the run folder `out`, and create it if it is missing.

    The first process of a run holds the lock. The system releases it when the process ends for any
    reason; the files `lock` and `holder` remain.

    Raises:
        FileExistsError: Another run is using the folder, or it contains checkpoints and `resume` is
            false.
        OSError: The file system does not support locks.
    """
    out = Path(out)
    if rank_and_world_size()[0] > 0:
        yield
        return
    lock = FileLock(out / "lock", blocking=False)
    try:
        with full_disk_named(out / "lock"):
            out.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except Timeout as error:
        raise FileExistsError(_taken(out)) from error
    try:
        with full_disk_named(out / "holder"):
            (out / "holder").write_text(f"process {os.getpid()} on {socket.gethostname()}")
        refuse_used_folder(out, resume)
        yield
    finally:
        lock.release()


def _taken(out: Path) -> str:
    holder = out / "holder"
    who = holder.read_text() if holder.exists() else "which has just begun"
    return f"{out} is in use by another run ({who}). Choose another folder, or wait for it to end."
