"""Folders of the runs of a comparison."""

HOLD = """
import sys
from gesture_pretrain.training.runs.lock import run_lock
with run_lock(sys.argv[1], resume=False):
    print("held", flush=True)
    sys.stdin.read()
"""
