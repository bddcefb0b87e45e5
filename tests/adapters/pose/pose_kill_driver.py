"""Trains a pose network in child processes, kills some of them with SIGKILL, resumes them.

    python pose_kill_driver.py INDEX FOLDER

As tests/training/kill_driver.py: an attempt is a fork of this process, which has computed nothing.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from pose_run import pose_sections

from adapters.pose_training import build_pose_runner

CHANGES = {
    "schedule": {"iterations": 12, "warmup_iterations": 3},
    "training": {
        "log_every": 1,
        "threads": 1,
        "ema_decay": 0.9,
        "checkpoint_every": 1,
        "validate_every": 6,
    },
}


def start(index: Path, out: Path, *, workers: int) -> int:
    """Forks a child that trains; returns its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        sections = pose_sections(index, data={"workers": workers}, **CHANGES)
        build_pose_runner(out=out, resume=True, **sections).train()
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


def finished(child: int) -> bool:
    """Waits for a child to end by itself, and says whether it ended well."""
    return os.waitpid(child, 0)[1] == 0


def killed_at(child: int, folder: Path, iteration: int, delay_s: float) -> bool:
    """Kills the child a moment after the checkpoint of an iteration; False if it was done before.

    A checkpoint is written in each iteration, so some of the kills hit the writing of the next.
    """
    while not any(int(p.stem[-8:]) >= iteration for p in folder.glob("iteration_*.json")):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, f"the child failed with status {status}"
            return False
        time.sleep(0.001)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] != 0


def main(index: Path, folder: Path) -> None:
    moments = random.Random(3)
    assert finished(start(index, folder / "whole", workers=0))
    killed = folder / "killed"
    kills = sum(
        killed_at(
            start(index, killed, workers=1), killed / "checkpoints", k, moments.uniform(0, 0.03)
        )
        for k in (2, 4, 7)
    )
    assert finished(start(index, killed, workers=1))
    print(f"kills {kills}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
