"""A safe first import of yapf, which mmengine requires, in several processes at once."""

import os
from contextlib import nullcontext
from importlib.util import find_spec

from filelock import FileLock
from platformdirs import user_cache_path


def import_yapf_in_turn() -> None:
    """Let the processes of one job import yapf one after another; does nothing in a single process.

    The first import on a machine writes yapf's grammar into the user's cache. A process that reads
    this file before another one has written all of it fails with "EOFError: Ran out of input"
    (google/yapf issue 1204, open-mmlab/mmengine issue 1480; yapf 0.43 still does so).
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or find_spec("yapf") is None:
        return
    with _lock():
        import yapf  # noqa: F401


def _lock():
    """Lock a file in the user's cache; no lock where yapf cannot write its grammar either."""
    folder = user_cache_path("gesture-pretrain", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / "yapf.lock").acquire()
    except OSError:
        return nullcontext()
