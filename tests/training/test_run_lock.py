"""A run folder belongs to one run at a time."""

import subprocess
import sys

import pytest

from gesture_pretrain.training.checkpoint import CHECKPOINTS
from gesture_pretrain.training.run_lock import run_lock

HOLD = """
import sys
from gesture_pretrain.training.run_lock import run_lock
with run_lock(sys.argv[1], resume=False):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_run(tmp_path):
    """Another process in the run folder, without a checkpoint so far."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("resume", [False, True])
def test_two_runs_do_not_share_a_folder(other_run, tmp_path, resume):
    """Until the first checkpoint a second run was let in and both wrote, as were two resumed."""
    with pytest.raises(FileExistsError, match=f"in use by another run .process {other_run.pid} on"):
        with run_lock(tmp_path / "run", resume=resume):
            pass


def test_a_killed_run_leaves_no_lock(other_run, tmp_path):
    other_run.kill()
    other_run.wait()
    with run_lock(tmp_path / "run", resume=True):
        pass


def test_checkpoints_of_a_run_that_ended_meanwhile_are_refused(tmp_path):
    (tmp_path / CHECKPOINTS).mkdir()
    (tmp_path / CHECKPOINTS / "iteration_00000001.json").write_text("{}")
    with pytest.raises(FileExistsError, match="contains the checkpoints of a run"):
        with run_lock(tmp_path, resume=False):
            pass
    with run_lock(tmp_path, resume=True):
        pass
