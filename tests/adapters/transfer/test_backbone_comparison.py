"""Folders of the runs of a comparison."""

import subprocess
import sys

import pytest

from adapters.transfer import backbone_comparison
from adapters.transfer.backbone_comparison import Arm, run_folder, train_arms

HOLD = """
import sys
from gesture_pretrain.training.run_lock import run_lock
with run_lock(sys.argv[1], resume=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_comparisons_do_not_share_a_folder(tmp_path, monkeypatch):
    """Until the first checkpoint a second one was let in, and both wrote the same runs."""
    monkeypatch.setattr(backbone_comparison, "_train", lambda *_: pytest.fail("it trains"))
    arm = Arm("one", {})
    command = [sys.executable, "-c", HOLD, str(run_folder(tmp_path, arm, 3))]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    options = {"sections": {}, "seeds": [3], "split": "test", "out": tmp_path}
    with pytest.raises(FileExistsError, match=f"in use by another run .process {other.pid} on"):
        train_arms([arm], **options, announce=lambda line: None)
    other.communicate("")
