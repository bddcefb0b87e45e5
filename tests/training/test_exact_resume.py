"""Killed at any moment and resumed, a run ends in the same bits."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import torch

from gesture_pretrain.training.checkpoint import load_newest_checkpoint

TIMES = {"images_per_s", "data_wait_fraction"}
HELPERS = Path(__file__).parents[1] / "helpers"


def test_killed_and_resumed_run_equals_the_uninterrupted_one(tmp_path, tiny_index, repo_root):
    done = subprocess.run(
        [sys.executable, str(HELPERS / "kill_driver.py"), str(tiny_index), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(repo_root)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(re.search(r"kills (\d+)", done.stdout)[1]) >= 3, done.stdout
    folders = (tmp_path / name / "checkpoints" for name in ("whole", "killed"))
    whole, killed = (load_newest_checkpoint(folder).state for folder in folders)
    assert whole["iteration"] == killed["iteration"] == 40
    differing = [name for name, a, b in leaves(whole, killed) if not same(a, b)]
    assert differing == []
    assert written(tmp_path / "whole") == written(tmp_path / "killed")


def same(a, b) -> bool:
    return torch.equal(a, b) if torch.is_tensor(a) else a == b


def leaves(a, b, name=""):
    """(path, left, right) of every leaf of two nested states of one structure."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), name
        for key in a:
            yield from leaves(a[key], b[key], f"{name}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), name
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            yield from leaves(left, right, f"{name}.{i}")
    else:
        yield name, a, b


def written(out: Path) -> list[dict]:
    """The lines of metrics.jsonl without their timing."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
