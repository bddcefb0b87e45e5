"""Errors of a run that stops early.

When another process of the run dies, gloo notices the closed connection immediately, NCCL after the
timeout of the process group. A cluster that reclaims the machine sends SIGTERM, as does torchrun
when another process has died.
"""

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gesture_pretrain.processes import rank_and_world_size

# gloo reports "Application timeout caused pair closure" in all but the first waiting exchange
_OF_THE_GROUP = re.compile(
    r"gloo|nccl|process ?group|connection (closed|reset|refused)|broken pipe|by peer|pair closure|"
    r"socket|tcpstore|timed out|timeout|unreachable",
    re.IGNORECASE,
)

# A cluster's SIGTERM also reaches the data loading processes, and torch may report their end first.
_WORKER_TERMINATED = "is killed by signal: Terminated"


class TrainingStopped(RuntimeError):
    """A run that ended before its last iteration and can be resumed from its last checkpoint."""


class NonFiniteLoss(TrainingStopped):
    """A loss or gradient became NaN or infinite; the optimiser step was not taken."""


class NoRoomForRun(TrainingStopped):
    """A file of the run could not be written because the disk or the quota is full."""


class NoIntactCheckpoint(TrainingStopped):
    """There are checkpoints, but none of them is complete."""


class ProcessLost(TrainingStopped):
    """Another process of the run ended, or could not be reached in time."""


class ToldToEnd(TrainingStopped):
    """The run received SIGTERM, from a cluster or from torchrun."""


@contextmanager
def told_to_end(runner) -> Iterator[None]:
    """Convert SIGTERM and the loss of another process into errors that explain how to resume.

    Args:
        runner: Runner with `iter` and `checkpoint_folder`.

    Raises:
        ToldToEnd: This process or one of its data loading processes received SIGTERM.
        ProcessLost: Communication with the other processes failed.
    """

    try:
        with sigterm_raised(lambda: f"The run was terminated (SIGTERM). {_what_is_kept(runner)}"):
            yield
    except TrainingStopped:
        raise
    except RuntimeError as error:
        if _WORKER_TERMINATED in str(error):
            raise ToldToEnd(
                f"A data loading process was terminated (SIGTERM). {_what_is_kept(runner)}"
            ) from error
        if rank_and_world_size()[1] == 1 or not _OF_THE_GROUP.search(str(error)):
            raise
        raise ProcessLost(_lost(error, runner)) from error


@contextmanager
def sigterm_raised(message: Callable[[], str]) -> Iterator[None]:
    """Convert SIGTERM into ToldToEnd with a message. Without effect outside of the main thread."""

    def stop(number, frame):
        raise ToldToEnd(message())

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if in_main_thread else None
    try:
        yield
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def _lost(error: Exception, runner) -> str:
    rank, world_size = rank_and_world_size()
    first_line = str(error).strip().splitlines()[0]
    return (
        f"Process {rank} of {world_size} lost another process of the run ({first_line}). The last "
        f"lines of that process say why. {_what_is_kept(runner)}"
    )


def _what_is_kept(runner) -> str:
    return f"At iteration {runner.iter}; the checkpoints in {runner.checkpoint_folder} are intact."
