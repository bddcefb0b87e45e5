"""Pretraining of a backbone on gesture labels (Stage 1), built from config sections.

`build_runner` builds, in order, device, data, network, optimiser and runner.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import GestureHeads, build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.pretraining.accuracy import GestureAccuracy
from gesture_pretrain.pretraining.beyond_paper.section import build_beyond_paper
from gesture_pretrain.pretraining.data import GestureData, build_gesture_data
from gesture_pretrain.pretraining.distillation import build_distillation
from gesture_pretrain.pretraining.model import GesturePretrainer
from gesture_pretrain.pretraining.probes import ProbeHook
from gesture_pretrain.pretraining.sections import PretrainingSections, check_config
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.training.placement import (
    evaluated_model,
    freeze_batch_norm,
    place_model,
    unwrapped,
)
from gesture_pretrain.training.runner import TrainingRunner, assemble_runner, begin_run
from gesture_pretrain.weights.starting_backbone import build_starting_backbone


def build_runner(
    *,
    out: str | Path,
    device: str = "auto",
    resume: bool = False,
    hooks: Sequence[Hook] = (),
    progress: bool = True,
    **sections: Any,
) -> TrainingRunner:
    """Build the runner of a pretraining run; start it with `runner.train()`.

    Args:
        out: Run folder, created if missing.
        device: See `choose_device`.
        resume: Continue from the newest intact checkpoint in `out`.
        hooks: Additional mmengine hooks.
        progress: Show the progress display.
        **sections: Fields of `PretrainingSections`.

    Raises:
        ValueError: An unknown key or an invalid value.
        FileExistsError: `out` contains checkpoints and `resume` is false.
    """
    config = check_config(sections)
    out, where = begin_run(out, config.training, device=device, resume=resume)
    backbone = {"seed": config.seed, **config.backbone}
    data = build_gesture_data(
        config.data,
        size_px=backbone.get("size_px", 256),
        seed=config.seed,
        pin_memory=where.type == "cuda",
        crops=config.beyond_paper.plan,
    )
    model = _build_model(build_starting_backbone(**backbone), data, config, where)
    model = place_model(model, where, config.training)
    runner = assemble_runner(
        out=out,
        model=model,
        data=data,
        evaluator=GestureAccuracy(),
        optimizer=build_optimizer(unwrapped(model), **config.optimizer),
        schedule=config.schedule,
        options=config.training,
        device=where,
        seed=config.seed,
        resume=resume,
        hooks=[*_probe_hooks(data, config), *hooks],
        progress=progress,
    )
    if config.beyond_paper.dense is not None:
        unwrapped(model).beyond_paper.learn_from(evaluated_model(runner).backbone)
    return runner


def _probe_hooks(data: GestureData, config: PretrainingSections) -> list[Hook]:
    if config.probes is None:
        return []
    validation = None if data.validation is None else data.validation.dataset
    return [ProbeHook(data.train.dataset, validation, **config.probes)]


def _build_model(
    trunk: Backbone, data: GestureData, config: PretrainingSections, device: torch.device
) -> GesturePretrainer:
    classes = {"num_coarse": data.taxonomy.num_coarse, "num_fine": data.taxonomy.num_fine}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        classifiers: GestureHeads = build_gesture_heads(
            trunk.pooled_channels, **classes, **config.heads
        )
        beyond_paper = build_beyond_paper(config.beyond_paper, trunk, **classes)
        distillation = None
        if config.distillation is not None:
            distillation = build_distillation(trunk, data.taxonomy, device, **config.distillation)
    model = GesturePretrainer(
        GestureNetwork(trunk, classifiers),
        ramp=config.objective.ramp,
        coarse_weight=config.objective.coarse_weight,
        label_smoothing=config.objective.label_smoothing,
        channels_last=config.training.channels_last,
        beyond_paper=beyond_paper,
        distillation=distillation,
    )
    if config.training.freeze_bn:
        freeze_batch_norm(model)
    return model
