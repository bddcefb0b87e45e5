"""A few kills; `python -m tests.fuzz.kills` makes many more."""

import os
import subprocess
import sys

import pytest

QUICK = ["index", "shards", "export", "predict, images", "pretraining", "pose, 2 processes"]
SLOW = ["synthetic", "predict, video", "experiment"]


def kill(repo_root, kills: int, *names: str) -> None:
    """Kill jobs in a process that computes nothing itself."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.kills", "--kills", str(kills), "--only", *names],
        capture_output=True,
        text=True,
        cwd=repo_root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert all(f"| {name} |" in done.stdout for name in names)


def test_jobs_that_are_killed_and_repeated_end_in_the_same_files(repo_root):
    kill(repo_root, 3, *QUICK)


@pytest.mark.slow
def test_slower_jobs(repo_root):
    kill(repo_root, 3, *SLOW)
