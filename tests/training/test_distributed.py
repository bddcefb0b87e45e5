"""Two gloo processes train as one process does on the same global batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def start(launcher: list[str], index: Path, out: Path, order: str, repo_root: Path):
    command = [sys.executable, *launcher, str(HERE / "distributed_driver.py")]
    return subprocess.Popen(
        [*command, str(index), str(out), order],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1"},
    )


def curve(out: Path, key: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def test_two_processes_give_the_loss_curve_of_one(tmp_path, tiny_index, repo_root):
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    runs = [
        start([], tiny_index, tmp_path / "one", "kept", repo_root),
        start([], tiny_index, tmp_path / "reversed", "reversed", repo_root),
        start(two, tiny_index, tmp_path / "two", "kept", repo_root),
    ]
    for run in runs:
        printed = run.communicate(timeout=300)[0]
        assert run.returncode == 0, printed[-3000:]
    one, noisy, two = (curve(tmp_path / n, "train_loss") for n in ("one", "reversed", "two"))
    assert len(one) == len(two) == 12
    # Two processes sum the same terms in another order. How far rounding alone carries a curve
    # apart is seen by reversing the images within each batch in one process; AdamW magnifies it,
    # so the bound is taken from that and not from the float32 epsilon. Ten times it, and never
    # below the rounding of the loss itself: 8 summands of size 6, 2**-24 each, both levels.
    noise = max(abs(a - b) for a, b in zip(one, noisy, strict=True))
    tolerance = 10 * max(noise, 6 * 2 * 8 * 2**-24)
    assert tolerance < 0.01  # else the test would say nothing: the loss falls by more than that
    print(f"noise {noise:.2e}, tolerance {tolerance:.2e}")
    worst = max(abs(a - b) for a, b in zip(one, two, strict=True))
    print(f"worst difference {worst:.2e}")
    assert worst <= tolerance
    assert one[0] - min(one) > 10 * tolerance
    # each image of the validation split is counted once, by one of the processes
    correct = [16 * share for share in curve(tmp_path / "two", "val_coarse_top1")]
    assert len(correct) == 2 and all(value == round(value) for value in correct)
