"""Runs in child processes that are killed with SIGKILL at moments that do not depend on the clock.

The caller imports its libraries once; every child is a fork of it. As the caller has computed
nothing, a child starts from the state of a new process within milliseconds.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path


def forked(train: Callable[[], object]) -> int:
    """Forks a child that trains and ends; returns its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        train()
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


def finished(child: int) -> bool:
    """Waits for a child to end by itself, and says whether it ended well."""
    return os.waitpid(child, 0)[1] == 0


def killed_at(child: int, checkpoints: Path, iteration: int, delay_s: float) -> bool:
    """Kills the child a moment after the checkpoint of an iteration; False if it was done before.

    Where a checkpoint is written in each iteration, some of the kills hit the writing of the next.
    Where the iteration's checkpoint is there already, the kill hits the start.
    """
    while not any(int(p.stem[-8:]) >= iteration for p in checkpoints.glob("iteration_*.json")):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, f"the child failed with status {status}"
            return False
        time.sleep(0.001)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] != 0
