"""A process that dies or hangs ends the run with a message, and the run goes on from there."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from tiny_run import tiny_sections

from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.training.checkpoint import load_newest_checkpoint
from gesture_pretrain.training.stopped import ToldToEnd, told_to_end

HELPERS = Path(__file__).parents[1] / "helpers"
STOPPED = 3


def outcomes(tmp_path_factory, tiny_index, repo_root, *names):
    folder = tmp_path_factory.mktemp("lost")
    driver = [sys.executable, str(HELPERS / "lost_rank_driver.py"), str(tiny_index), str(folder)]
    done = subprocess.run(
        [*driver, *names],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["scenario"] for line in lines] == list(names)
    return folder, lines


@pytest.fixture(scope="module")
def one_killed(tmp_path_factory, tiny_index, repo_root):
    folder, lines = outcomes(tmp_path_factory, tiny_index, repo_root, "second_killed")
    return folder, lines[0]


def check_the_other_ended_and_the_run_went_on(folder: Path, found: dict, *, victim, ended_by):
    name = found["scenario"]
    assert found["victim"] == ended_by
    assert found["survivor"] == STOPPED
    assert found["seconds"] < 30  # starting, and the time limit of 4 s
    message = (folder / name / f"message_{1 - victim}.txt").read_text()
    assert message.startswith("ProcessLost: Process")
    assert "At iteration 7" in message and "checkpoints" in message
    assert found["resumed"] == [0, 0]
    whole, resumed = (
        load_newest_checkpoint(folder / n / "checkpoints").state for n in ("whole", name)
    )
    assert whole["iteration"] == resumed["iteration"] == 12
    a, b = whole["weight_average"]["module"], resumed["weight_average"]["module"]
    assert all(torch.equal(whole["model"][k], resumed["model"][k]) for k in whole["model"])
    assert all(torch.equal(a[key], b[key]) for key in a)
    for key, moments in whole["optimizer"]["state"].items():
        for kind, value in moments.items():
            assert torch.equal(value, resumed["optimizer"]["state"][key][kind])


def test_killed_process_ends_the_other_with_a_message_and_the_run_goes_on(one_killed):
    check_the_other_ended_and_the_run_went_on(*one_killed, victim=1, ended_by=-signal.SIGKILL)


@pytest.mark.slow
def test_first_process_killed_one_that_hangs_and_one_told_to_end(
    tmp_path_factory, tiny_index, repo_root
):
    names = ("first_killed", "second_hangs", "second_told")
    folder, lines = outcomes(tmp_path_factory, tiny_index, repo_root, *names)
    for found, victim, ended_by in zip(
        lines, (0, 1, 1), (-signal.SIGKILL, -signal.SIGKILL, STOPPED), strict=True
    ):
        check_the_other_ended_and_the_run_went_on(folder, found, victim=victim, ended_by=ended_by)
    message = (folder / "second_told" / "message_1.txt").read_text()
    assert message.startswith("ToldToEnd: The run was terminated (SIGTERM). At iteration 7")


class Tell(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 5:
            os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_stops_a_single_process_and_is_itself_again_afterwards(tmp_path, tiny_index):
    before = signal.getsignal(signal.SIGTERM)
    sections = tiny_sections(tiny_index, training={"checkpoint_every": 2}, data={"workers": 1})
    with pytest.raises(ToldToEnd, match="At iteration 5"):
        build_runner(out=tmp_path, hooks=[Tell()], **sections).train()
    assert signal.getsignal(signal.SIGTERM) is before
    runner = build_runner(out=tmp_path, resume=True, **sections)
    runner.train()
    assert runner.iter == 12


@pytest.mark.parametrize(("died_of", "expected"), [("Terminated", ToldToEnd), ("Killed", None)])
def test_sigterm_that_reaches_a_loading_process_first(tmp_path, died_of, expected):
    """A cluster's SIGTERM goes to every process: torch told of the loader's end, by a traceback."""
    runner = SimpleNamespace(iter=7, checkpoint_folder=tmp_path)
    said = f"DataLoader worker (pid 3) is killed by signal: {died_of}. "  # torch's words
    with pytest.raises(RuntimeError) as caught, told_to_end(runner):
        raise RuntimeError(said)
    if expected is None:  # out of memory, say: that is no request to end
        assert str(caught.value) == said
    else:
        assert isinstance(caught.value, expected)
        assert "At iteration 7" in str(caught.value)
