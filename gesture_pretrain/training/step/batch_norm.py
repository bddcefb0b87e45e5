"""Batch norm that keeps its stored statistics, or takes them over all processes."""

import torch
from torch import nn


def freeze_batch_norm(model: nn.Module) -> None:
    """Batch norm uses its stored statistics and leaves them as they are, in training too."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.train = lambda mode=True, module=module: module


def synchronise_batch_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with batch-norm statistics over all processes.

    Raises:
        ValueError: the device is not CUDA.
    """
    if device.type != "cuda":
        raise ValueError("training.sync_bn needs CUDA. Leave it off, or use freeze_bn.")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
