"""Loaders of a run."""

import subprocess
import sys

import torch
from torch.utils.data import TensorDataset

from gesture_pretrain.data.samples.loaders import build_loaders

IMAGES = TensorDataset(torch.arange(10))
TWO_LOADERS = """
import gc
import torch
from torch.utils.data import TensorDataset
from gesture_pretrain.data.samples.loaders import make_loader

class Collecting(TensorDataset):
    def __getitem__(self, index):
        gc.collect()
        return super().__getitem__(index)

gc.disable()
for _ in range(2):
    loader = make_loader(Collecting(torch.arange(2)), 1, 0, False, batch_size=1)
    assert len(list(loader)) == 2
    loader.itself = loader  # a cycle, as of a run with its loaders
    del loader
"""


def test_workers_leave_old_loaders_of_their_parent_alone(repo_root):
    """Workers of a cell's second loader printed "can only test a child process" for the first."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_LOADERS], cwd=repo_root, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def build(batch_size):
    return build_loaders(IMAGES, None, batch_size=batch_size, workers=0, seed=0, pin_memory=False)


def test_batch_larger_than_the_data_is_smaller_and_said(capsys):
    """It was made smaller without a word."""
    loaders = build(64)
    assert (loaders.batch_size, loaders.iterations_per_epoch) == (10, 1)
    said = capsys.readouterr().out
    assert said == ("Training. There are 10 images: batches hold 10, not data.batch_size=64.\n")


def test_batch_that_is_filled_says_nothing(capsys):
    loaders = build(4)
    assert (loaders.batch_size, loaders.iterations_per_epoch) == (4, 2)
    assert capsys.readouterr().out == ""
