"""The three networks of the GPU benchmark, with batches from their loaders."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adapters.pose.data import PoseDataSection, build_pose_data
from adapters.targets import find_pose_target
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.pretraining.data import build_gesture_data
from gesture_pretrain.pretraining.data_section import GestureDataSection
from gesture_pretrain.pretraining.model import GesturePretrainer
from gesture_pretrain.training.optimizer import (
    FiniteOptimWrapper,
    build_optim_wrapper,
    build_optimizer,
)

NAMES = ("stage_1", "token_fusion", "eanet")


@dataclass(frozen=True)
class Sizes:
    """Sizes of the networks and their data.

    Attributes:
        arch: Backbone of Stage 1 and token fusion.
        eanet_arch: Backbone of EANet.
        preset: Preset of both pose targets.
        size_px: Side of the crops.
        images: Number of images in the rendered training split.
    """

    arch: str = "hrnet_w32"
    eanet_arch: str = "resnet50"
    preset: str = "full"
    size_px: int = 256
    images: int = 192


SMALL = Sizes(arch="test_resnet", eanet_arch="test_resnet", preset="tiny", size_px=64, images=24)


def build_network(name: str, index: Path, sizes: Sizes) -> tuple[nn.Module, Any]:
    """Return a network with random weights on the CPU, and a batch of its loader."""
    torch.manual_seed(0)
    data = {"index": index, "batch_size": 8, "workers": 0, "val_split": None}
    arch = sizes.eanet_arch if name == "eanet" else sizes.arch
    backbone = build_backbone(arch, size_px=sizes.size_px)
    if name == "stage_1":
        loaders = build_gesture_data(GestureDataSection(**data), size_px=sizes.size_px, seed=0)
        classes = {"num_coarse": loaders.taxonomy.num_coarse, "num_fine": loaders.taxonomy.num_fine}
        heads = build_gesture_heads(backbone.pooled_channels, **classes)
        model = GesturePretrainer(GestureNetwork(backbone, heads), channels_last=True)
        return model, next(iter(loaders.train))
    target = find_pose_target(name)
    options = target.options(sizes.preset)
    if name == "token_fusion":
        options["guidance"] = "none"
    hands = {side: load_hand_model(side, path="open") for side in ("right", "left")}
    loaders = build_pose_data(
        PoseDataSection(**data),
        build_dataset=target.dataset_for(**options),
        size_px=sizes.size_px,
        seed=0,
        hand_models=hands,
    )
    model = target.build_model(
        backbone, seed=0, hand_models=hands, allow_projection=True, **options
    )
    return model.to(memory_format=torch.channels_last), next(iter(loaders.train))


def of_size(batch: Any, count: int, device: torch.device) -> Any:
    """Return a batch of `count` samples, repeated from another; pinned for CUDA."""
    if isinstance(batch, torch.Tensor):
        rows = torch.arange(count) % len(batch)
        return batch[rows].pin_memory() if device.type == "cuda" else batch[rows]
    return type(batch)(*(of_size(value, count, device) for value in batch))


def wrapper_of(model: nn.Module, device: torch.device, precision: str) -> FiniteOptimWrapper:
    """Return the optimiser wrapper of a run."""
    optimizer = build_optimizer(model, lr=1e-4)
    return build_optim_wrapper(optimizer, device=device, precision=precision, clip_norm=1.0)


def step_of(
    model: nn.Module, wrapper: FiniteOptimWrapper, batch: Any
) -> Callable[[], dict[str, torch.Tensor]]:
    """Return a training step, including the copy of the batch to the device."""

    def step() -> dict[str, torch.Tensor]:
        model.train()
        return model.train_step(batch, wrapper)

    return step
