"""Trains in child processes, kills some of them with SIGKILL at some iterations, resumes them.

    python kill_driver.py INDEX FOLDER

See tests/forked_run.py.
"""

import random
import sys
from pathlib import Path

from forked_run import finished, forked, killed_at
from tiny_run import tiny_sections

from gesture_pretrain.pretraining.run import build_runner

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


KILLED_AT = (3, 3, 9, 16, 24, 31)  # iterations; the second kill hits the start


def start(index: Path, out: Path, *, workers: int) -> int:
    """Trains in a child process; returns its id."""
    sections = tiny_sections(index, data={"workers": workers}, **CHANGES)
    return forked(lambda: build_runner(out=out, resume=True, **sections).train())


def main(index: Path, folder: Path) -> None:
    moments = random.Random(2)
    assert finished(start(index, folder / "whole", workers=0))
    killed = folder / "killed"
    kills = sum(
        killed_at(
            start(index, killed, workers=2), killed / "checkpoints", k, moments.uniform(0, 0.03)
        )
        for k in KILLED_AT
    )
    assert finished(start(index, killed, workers=2))
    print(f"kills {kills}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
