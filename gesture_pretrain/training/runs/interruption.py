"""A run that is ended from outside says so, and how to go on.

Another process of the run that dies takes its connections with it: gloo notices at once, NCCL and a
machine that has gone silent after the time limit of the process group. A cluster that wants the
machine back, and torchrun when another process has died, send SIGTERM.
"""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gesture_pretrain.training.device import rank_and_world_size
from gesture_pretrain.training.runs.stopped import ProcessLost, ToldToEnd, TrainingStopped

# "Application timeout caused pair closure" is what gloo gives all but the first exchange that waits
_OF_THE_GROUP = re.compile(
    r"gloo|nccl|process ?group|connection (closed|reset|refused)|broken pipe|by peer|pair closure|"
    r"socket|tcpstore|timed out|timeout|unreachable",
    re.IGNORECASE,
)

# A cluster's SIGTERM reaches the loading processes too; torch may tell of them first.
_WORKER_TOLD_TO_END = "is killed by signal: Terminated"


@contextmanager
def told_to_end(runner) -> Iterator[None]:
    """Turns SIGTERM and the loss of another process into errors that say how to go on.

    Args:
        runner: has `iter` and `checkpoint_folder`.

    Raises:
        ToldToEnd: SIGTERM came, to this process or to one that loads for it.
        ProcessLost: an exchange with the other processes failed.
    """

    def stop(number, frame):
        name = signal.Signals(number).name
        raise ToldToEnd(f"The run was told to end ({name}). {_how_to_go_on(runner)}")

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if in_main_thread else None
    try:
        yield
    except TrainingStopped:
        raise
    except RuntimeError as error:
        if _WORKER_TOLD_TO_END in str(error):
            raise ToldToEnd(
                f"A loading process was told to end (SIGTERM). {_how_to_go_on(runner)}"
            ) from error
        if rank_and_world_size()[1] == 1 or not _OF_THE_GROUP.search(str(error)):
            raise
        raise ProcessLost(_lost(error, runner)) from error
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def _lost(error: Exception, runner) -> str:
    rank, world_size = rank_and_world_size()
    first_line = str(error).strip().splitlines()[0]
    return (
        f"Process {rank} of {world_size} lost another process of the run ({first_line}). What that "
        f"one printed last says why. {_how_to_go_on(runner)}"
    )


def _how_to_go_on(runner) -> str:
    return (
        f"At iteration {runner.iter}; the checkpoints in {runner.checkpoint_folder} are intact. "
        "The same command with --resume goes on."
    )
