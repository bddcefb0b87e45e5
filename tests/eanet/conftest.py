"""Fixtures of the EANet tests."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from eanet import EANet

TINY_SIZES = {
    "backbone_channels": 6,
    "grid": 2,
    "width": 8,
    "num_heads": 2,
    "depth": 2,
    "mlp_ratio": 2,
    "depth_cells": 3,
    "num_main": 3,
    "num_sub": 5,
    "gesture_hidden": 8,
    "fusion_heads": 2,
    "max_classes": 6,
}


def tiny_backbone(channels: int = 6) -> nn.Module:
    """(B, 3, 64, 64) -> (B, channels, 2, 2)."""
    return nn.Sequential(nn.Conv2d(3, channels, 32, stride=32), nn.BatchNorm2d(channels), nn.ReLU())


@pytest.fixture
def build_tiny():
    """Makes a network of a few thousand parameters, the same at every call; sizes may differ."""

    def build(**changes) -> EANet:
        torch.manual_seed(0)
        return EANet(tiny_backbone(), **{**TINY_SIZES, **changes})

    return build


@pytest.fixture
def tiny_images() -> torch.Tensor:
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def golden_folder(shared_dir) -> Path:
    return shared_dir / "eanet"


@pytest.fixture(scope="session")
def golden_functions(golden_folder) -> dict[str, np.ndarray]:
    with np.load(golden_folder / "golden_functions_public.npz", allow_pickle=False) as stored:
        return dict(stored)
