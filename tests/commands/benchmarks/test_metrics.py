"""tools/benchmark.py metrics, at a size that takes no time."""

import json
import subprocess
import sys


def test_candidates_agree_and_the_record_is_complete(repo_root, tmp_path):
    path = tmp_path / "m.json"
    command = [sys.executable, "tools/benchmark.py", "metrics", "--samples", "300", "--runs", "1"]
    done = subprocess.run(
        [*command, "--json", str(path)], cwd=repo_root, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(path.read_text())["results"]
    assert set(results["processor_seconds"]) == {"loop", "one batched SVD", "ours"}
    assert max(results["largest_difference_mm"].values()) < 1e-6
    assert "times_faster_than_loop" in results and "x loop" in done.stdout
