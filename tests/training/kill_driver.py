"""Trains in child processes, kills some of them with SIGKILL at random moments, resumes them.

    python kill_driver.py INDEX FOLDER

The libraries are imported once; every attempt is a fork of this process, which has not computed
anything, so an attempt starts from the state of a new process within milliseconds.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from tiny_run import tiny_sections

from gesture_pretrain.training.pretraining import build_runner

CHANGES = {
    "schedule": {"iterations": 40, "warmup_iterations": 5},
    "training": {
        "log_every": 1,
        "threads": 1,
        "ema_decay": 0.9,
        "checkpoint_every": 1,  # so that many kills hit the writing of a checkpoint
        "validate_every": 10,
    },
}


def start(index: Path, out: Path, *, resume: bool, workers: int) -> int:
    """Forks a child that trains; returns its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        sections = tiny_sections(index, data={"workers": workers}, **CHANGES)
        build_runner(out=out, resume=resume, **sections).train()
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
    assert not killed_after(start(index, folder / "whole", resume=False, workers=0), 300)
    whole_s = time.monotonic() - began
    moments = random.Random(2)
    kills = 0
    while kills < 6:
        child = start(index, folder / "killed", resume=True, workers=2)
        if not killed_after(child, moments.uniform(0.1, 0.5) * whole_s):
            break
        kills += 1
    assert not killed_after(start(index, folder / "killed", resume=True, workers=2), 300)
    print(f"kills {kills}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
