"""On a full disk every command names the path and keeps what is there; afterwards it works."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HELPERS = Path(__file__).parents[1] / "helpers"
QUICK = ["data interhand", "data folders", "data shards", "data verify"]
SLOW = [
    "data synthetic", "data miniature", "data landmarks", "data show", "pretrain", "sweep",
    "pose train", "features", "pose evaluate", "predict images", "predict video", "swap",
    "transfer run", "transfer report", "benchmark", "export timm", "export torchvision",
    "export mmpose", "export onnx", "export eanet",
]  # fmt: skip


def outcomes(folder: Path, repo_root: Path, names: list[str], rooms: str) -> list[dict]:
    """Run the driver in a new mount namespace."""
    if not shutil.which("unshare"):
        pytest.skip("no unshare command here, so a test cannot mount a file system")
    driver = [sys.executable, str(HELPERS / "full_disk_driver.py"), str(folder), rooms, *names]
    done = subprocess.run(
        ["unshare", "-rm", *driver],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1"},
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip("this machine does not let a test mount a file system")
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {case["case"] for case in found} == set(names)
    return found


def check(case: dict, folder: Path) -> None:
    name = case["case"]
    assert case["broken"] == [], name
    if case["status"] == 0:  # files are replaced one by one, which needs little space
        assert case["room"] and name.startswith("predict"), name
        return
    assert case["changed"] == [] and case["left"] == [], name
    assert case["status"] in (1, 2, 3), (name, case)
    (message,) = case["message"]
    assert str(folder / "disk") in message and "free" in message, (name, message)
    assert case["again"] == 0, (name, case["errors"])


def test_a_full_disk_is_reported_and_harms_nothing(tmp_path, repo_root):
    for case in outcomes(tmp_path, repo_root, QUICK, "0.5"):
        check(case, tmp_path)


@pytest.mark.slow
def test_a_full_disk_in_the_slower_commands(tmp_path, repo_root):
    for case in outcomes(tmp_path, repo_root, SLOW, "0,0.5"):
        check(case, tmp_path)
