"""A model on the device of its process, wrapped and compiled as the options of the run say."""

import torch
from mmengine.model import BaseModel, MMDistributedDataParallel
from torch import nn

from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.pretraining.model import GesturePretrainer
from gesture_pretrain.training.device import rank_and_world_size
from gesture_pretrain.training.loop import unwrapped
from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.step.activation_checkpointing import checkpoint_activations
from gesture_pretrain.training.step.batch_norm import synchronise_batch_norm
from gesture_pretrain.training.step.compilation import compile_network


def place_model(model: BaseModel, device: torch.device, options: TrainingOptions) -> nn.Module:
    """The model on its device, wrapped where several processes train it, compiled where asked."""
    model = model.to(device)
    if options.checkpoint_activations:
        checkpoint_activations(_backbone_of(model))
    if rank_and_world_size()[1] > 1:
        model = _over_processes(model, device, options)
    if options.compile is not None:
        compile_network(unwrapped(model), options.compile)
    return model


def _backbone_of(model: nn.Module) -> Backbone:
    """The backbone in a model of a run, Stage 1 or pose."""
    return model.network.backbone if isinstance(model, GesturePretrainer) else model.backbone


def _over_processes(model: BaseModel, device: torch.device, options: TrainingOptions) -> nn.Module:
    if options.sync_bn:
        model = synchronise_batch_norm(model, device)
    # batch-norm statistics are the first process's: the default of every torch, and newer ones warn
    # where the older option is named
    return MMDistributedDataParallel(
        model, device_ids=[device.index] if device.type == "cuda" else None
    )
