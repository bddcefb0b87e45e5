"""The EANet benchmark runs, and the FLOPs it counts are those of the network."""

import json
import subprocess
import sys

import pytest


def test_runs_and_writes_its_numbers(repo_root, tmp_path):
    out = tmp_path / "numbers.json"
    command = [sys.executable, str(repo_root / "tools/benchmark.py"), "eanet", "--tiny"]
    command += ["--batch", "1", "2", "--runs", "1", "--ways", "eager", "channels_last", "bf16"]
    command += ["--device", "cpu", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())["results"]
    assert [row["batch"] for row in results["batches"]] == [1, 2]
    for row in results["batches"]:
        assert row["failed"] == {} and min(row["images_per_second"].values()) > 0
        assert set(row["parts"]) == {"backbone", "position_net", "rotation_net"}
    first, second = (row["parts"]["position_net"]["gflop"] for row in results["batches"])
    assert second == pytest.approx(2 * first)
    assert "images/s" in done.stdout
