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


def killed_after(child: int, seconds: float) -> bool:
    """Kills the child after a while; False if it was done before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, f"the child failed with status {status}"
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main(index: Path, folder: Path) -> None:
    began = time.monotonic()
    assert not killed_after(start(index, folder / "whole", workers=0), 300)
    whole_s = time.monotonic() - began
    moments = random.Random(3)
    kills = 0
    while kills < 3:
        if not killed_after(
            start(index, folder / "killed", workers=1), moments.uniform(0.2, 0.6) * whole_s
        ):
            break
        kills += 1
    assert not killed_after(start(index, folder / "killed", workers=1), 300)
    print(f"kills {kills}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
