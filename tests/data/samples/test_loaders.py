"""Loaders of a run."""

import torch
from torch.utils.data import TensorDataset

from gesture_pretrain.data.samples.loaders import build_loaders

IMAGES = TensorDataset(torch.arange(10))


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
