"""Trains a pose network in child processes, kills some of them with SIGKILL, resumes them.

    python pose_kill_driver.py INDEX FOLDER

See tests/forked_run.py.
"""

import random
import sys
from pathlib import Path

from forked_run import finished, forked, killed_at
from pose_run import pose_sections

from adapters.pose.training import build_pose_runner

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
    """Trains in a child process; returns its id."""
    sections = pose_sections(index, data={"workers": workers}, **CHANGES)
    return forked(lambda: build_pose_runner(out=out, resume=True, **sections).train())


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
