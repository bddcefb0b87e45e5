"""Build runs of any pose target from plain sections, on `gesture_pretrain.training`.

Read `build_pose_runner` from top to bottom: data, backbone, target, optimiser, runner.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import nn

from adapters.pose.backbone import StartingPoint, build_starting_point, crop_size_px, freeze
from adapters.pose.data import build_pose_data
from adapters.pose.hand_models import HandModelSource
from adapters.pose.prediction import check_first_prediction
from adapters.pose.run import PoseRun
from adapters.pose.sections import check_pose_sections, needs_logits
from adapters.pose.validation import PoseErrors
from adapters.swap.first_step import FirstStepCheck
from adapters.swap.ledger import SwapLedger
from adapters.swap.swap import build_swapped
from adapters.targets import PoseTarget, find_pose_target, model_options
from gesture_pretrain.config.file import require_sections
from gesture_pretrain.config.sections import config_sections
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.mean_pose import mean_training_pose
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.placement import freeze_batch_norm, place_model, unwrapped
from gesture_pretrain.training.runner import assemble_runner, begin_run
from gesture_pretrain.training.schedule import Schedule


def build_pose_runner(
    *,
    out: str | Path,
    target: str | PoseTarget,
    data: Mapping,
    backbone: Mapping,
    model: Mapping | None = None,
    hand_model: Mapping | None = None,
    optimizer: Mapping | None = None,
    schedule: Mapping | None = None,
    training: Mapping | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    hooks: Sequence[Hook] = (),
    progress: bool = True,
) -> PoseRun:
    """Build a run, which `.train()` then trains.

    Two runs of a target with the same `data`, `schedule` and seed see the same samples in the same
    order for the same number of steps, whatever their backbone and options are.

    Args:
        out: Run folder, created if missing.
        target: A name that `adapters.targets.find_pose_target` knows, or the target.
        data: Keys of `build_pose_data`.
        backbone: Keys of `build_starting_point`.
        model: `size` (a preset of the target), `allow_projection`, and options of the target.
        hand_model: Keys of `HandModelSource`.
        optimizer: Keys of `build_optimizer`.
        schedule: Keys of `Schedule`; `iterations` sets the number of steps, else `epochs`.
        training: Keys of `TrainingOptions`.
        seed: Random seed of new weights, sample order, augmentation and dropout.
        device: See `choose_device`.
        resume: Continue from the newest intact checkpoint in `out`.
        hooks: Further mmengine hooks.
        progress: Show the progress display.

    Raises:
        ValueError: Unknown key or invalid value.
        SwapError: Backbone and target are incompatible.
        UnknownTarget, UnknownBackbone: No such name.
        FileExistsError: `out` holds checkpoints and `resume` is false.
        TypeError: Mode "predict" gives no `HandPrediction`, see `check_first_prediction`.
    """
    model, hand_model, optimizer, schedule, training = (
        section or {} for section in (model, hand_model, optimizer, schedule, training)
    )
    chosen = _checked_target(
        target,
        data=data,
        backbone=backbone,
        model=model,
        hand_model=hand_model,
        optimizer=optimizer,
        schedule=schedule,
        training=training,
    )
    out, settings, where = begin_run(out, training, device=device, resume=resume)
    options = model_options(chosen, model)
    hand_source = HandModelSource(**hand_model)
    hand_models = hand_source.load()
    size_px = crop_size_px(**backbone)
    pose_data = build_pose_data(
        build_dataset=chosen.dataset_for(**options),
        size_px=size_px,
        seed=seed,
        hand_models=hand_models,
        pin_memory=where.type == "cuda",
        **data,
    )
    start = build_starting_point(
        taxonomy=pose_data.taxonomy,
        gesture_logits=needs_logits(chosen, options),
        seed=seed,
        **backbone,
    )
    trained, ledger = _placed_target(
        chosen, start, hand_source, options, settings, device=where, seed=seed
    )
    check_first_prediction(unwrapped(trained), pose_data.train.dataset)
    truth = GroundTruthReader(pose_data.index, hand_models=hand_models)
    first_step = FirstStepCheck(ledger, out=out)
    runner = assemble_runner(
        out=out,
        model=trained,
        data=pose_data,
        evaluator=PoseErrors(truth, mean_training_pose(truth, pose_data.train.dataset.rows)),
        optimizer=build_optimizer(unwrapped(trained), **optimizer),
        schedule=Schedule(**schedule),
        options=settings,
        device=where,
        seed=seed,
        resume=resume,
        hooks=[first_step, *hooks],
        progress=progress,
    )
    return PoseRun(
        runner=runner,
        target=chosen,
        network=start.network,
        head_classes=start.head_classes,
        options=options,
        size_px=size_px,
        hand_source=hand_source,
        hand_models=hand_models,
        data=pose_data,
        first_step=first_step,
        seed=seed,
    )


def _checked_target(target: str | PoseTarget, **sections: Mapping) -> PoseTarget:
    """Return the target if it can be trained with these sections."""
    chosen = find_pose_target(target) if isinstance(target, str) else target
    check_pose_sections(chosen, **sections)
    return chosen


def _placed_target(
    target: PoseTarget,
    start: StartingPoint,
    hand_source: HandModelSource,
    options: Mapping[str, Any],
    settings: TrainingOptions,
    *,
    device: torch.device,
    seed: int,
) -> tuple[nn.Module, SwapLedger]:
    """Build the target around its backbone, and the ledger of every tensor."""
    network, ledger = build_swapped(
        target,
        start.network,
        backbone_name=start.name,
        seed=seed,
        hand_models=hand_source.load(),  # a copy that moves to the device with the network
        frozen_backbone=start.frozen,
        **options,
    )
    if settings.channels_last:
        network.to(memory_format=torch.channels_last)
    if settings.freeze_bn:
        freeze_batch_norm(network)
    if start.frozen:
        freeze(network.backbone)
    return place_model(network, device, settings), ledger


def check_pose_config(config: Mapping[str, Any]) -> None:
    """Raise for the first unknown section or key of a pose config, naming the known ones."""
    known = config_sections(build_pose_runner)
    require_sections(config, known, required=("target", "data", "backbone"))
    sections = {
        name: value
        for name, value in config.items()
        if name not in ("target", "seed", "tag") and value is not None
    }
    _checked_target(config["target"], **sections)
