"""Two processes of which one dies, hangs or is told to end in the middle; then both go on.

    python lost_rank_driver.py INDEX FOLDER SCENARIO…

The processes are forks of this one, which has computed nothing, with the environment that torchrun
would give. Prints one JSON line per scenario.
"""

import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

from mmengine.hooks import Hook
from tiny_run import tiny_sections

from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.training.stopped import TrainingStopped

WHERE, STOPPED, LIMIT_S = 7, 3, 60
CHANGES = {
    "optimizer": {"lr": 2e-3},
    "training": {
        "log_every": 1,
        "threads": 1,
        "ema_decay": 0.9,
        "checkpoint_every": 3,
        "validate_every": 12,
        "timeout_s": 4,
    },
}


class SignalItself(Hook):
    """Sends this process a signal before an iteration."""

    def __init__(self, number):
        self.number = number

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == WHERE:
            os.kill(os.getpid(), self.number)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(rank: int, port: int, index: Path, out: Path, *, resume: bool, hooks: list) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
        out.mkdir(parents=True, exist_ok=True)
        sections = tiny_sections(index, **CHANGES)
        try:
            build_runner(out=out, resume=resume, hooks=hooks, **sections).train()
            status = 0
        except TrainingStopped as error:
            (out / f"message_{rank}.txt").write_text(f"{type(error).__name__}: {error}")
            status = STOPPED
    except Exception:  # os._exit would end the process before its traceback is printed
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def both(index: Path, out: Path, *, resume: bool = False, hooks=((), ())) -> list[int]:
    port = free_port()
    return [
        start(rank, port, index, out, resume=resume, hooks=list(hooks[rank])) for rank in (0, 1)
    ]


def exit_status(child: int, seconds: float) -> int | None:
    """Exit status, minus the signal's number where one ended it; None where it goes on."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return None


def scenario(index: Path, out: Path, number: int, victim: int) -> dict:
    """One process gets a signal; what becomes of the other, and of the resumed run."""
    hooks = [(), ()]
    hooks[victim] = (SignalItself(number),)
    children = both(index, out, hooks=hooks)
    began = time.monotonic()
    status = exit_status(children[1 - victim], LIMIT_S)
    seconds = time.monotonic() - began
    if status is None or number == signal.SIGSTOP:
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
    victim_status = exit_status(children[victim], LIMIT_S)
    resumed = [exit_status(child, LIMIT_S) for child in both(index, out, resume=True)]
    return {
        "scenario": out.name,
        "survivor": status,
        "victim": victim_status,
        "seconds": seconds,
        "resumed": resumed,
    }


SCENARIOS = {
    "second_killed": (signal.SIGKILL, 1),
    "first_killed": (signal.SIGKILL, 0),
    "second_hangs": (signal.SIGSTOP, 1),
    "second_told": (signal.SIGTERM, 1),
}


def main(index: Path, folder: Path, names: list[str]) -> None:
    assert [exit_status(child, LIMIT_S) for child in both(index, folder / "whole")] == [0, 0]
    for name in names:
        print(json.dumps(scenario(index, folder / name, *SCENARIOS[name])), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
