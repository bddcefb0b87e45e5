"""Trains the tiny run without batch norm and dropout.

    python distributed_driver.py INDEX OUT IMAGE_ORDER

Under torchrun with any number of processes; IMAGE_ORDER "reversed" reverses the images within each
batch, which changes nothing but the order in which sums are rounded.
"""

import sys
from pathlib import Path

import torch
from mmengine.hooks import Hook
from tiny_run import tiny_sections

from gesture_pretrain.training.runner import build_runner


class ReverseBatch(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for name in ("image", "coarse", "fine"):
            values = getattr(data_batch, name)
            values.copy_(values.flip(0))


if __name__ == "__main__":
    sections = tiny_sections(
        Path(sys.argv[1]),
        backbone={"arch": "test_efficientnet_gn"},
        heads={"dropout": 0.0},
        training={"ema_decay": 0.9},
    )
    hooks = [ReverseBatch()] if sys.argv[3] == "reversed" else []
    build_runner(out=Path(sys.argv[2]), hooks=hooks, **sections).train()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
