"""Runs the toy experiment in child processes: killed three times, and two plans at once.

    python experiment_driver.py INDEX FOLDER

Libraries are imported once; every attempt is a fork of this process, which has computed nothing.
"""

import glob
import os
import random
import signal
import sys
import time
from pathlib import Path

from toy_pose import register_toy, toy_plan

from adapters.transfer.plan.file import plan_from
from adapters.transfer.run.execution import run_plan


def start(values: dict, out: Path) -> int:
    """Forks a process that runs a plan to its end."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        status = 0 if run_plan(plan_from(values), out, workers=1, say=str).is_complete else 1
    finally:
        os._exit(status)


def end_of(child: int) -> None:
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"the child ended with status {status}"


def killed_after_checkpoint(child: int, out: Path, number: int, delay_s: float) -> bool:
    """Kills the process `delay_s` after its `number`-th checkpoint in the middle of a cell."""
    # glob.glob and not Path.glob: folders vanish while it looks
    pattern = str(out / "**" / "checkpoints" / "iteration_00000002.json")
    before = set(glob.glob(pattern, recursive=True))
    seen: set[str] = set()
    while len(seen) < number:
        seen |= set(glob.glob(pattern, recursive=True)) - before
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, f"the child ended with status {status}"
            return False
        time.sleep(0.001)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main(index: Path, folder: Path) -> None:
    register_toy()
    both = toy_plan(index)
    parts = []
    for name in ("gesture", "shuffled"):
        arms = {"random": both["arms"]["random"], name: both["arms"][name]}
        comparisons = [{"arm": name, "reference": "random"}]
        changes = {"name": name, "arms": arms, "comparisons": comparisons, "seeds": [0]}
        parts.append({**both, **changes})
    children = [start(values, folder / "shared") for values in parts]
    for child in children:
        end_of(child)
    moments = random.Random()
    kills = 0
    out = folder / "killed"
    # in the middle of a training, and at any moment: of training, export, prediction, writing
    later = [(1, moments.uniform(0.0, 0.3)) for _ in range(2)]  # short: cells must be left to kill
    for number, delay_s in [(moments.randint(1, 3), 0.0), *later]:
        kills += killed_after_checkpoint(start(both, out), out, number, delay_s)
        print(f"killed {delay_s:.3f} s after checkpoint {number}", file=sys.stderr)
    end_of(start(both, out))
    print(f"kills {kills}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
