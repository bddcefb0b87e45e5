"""Build runs of any pose target from plain sections, on `gesture_pretrain.training`.

Read `build_pose_runner` from top to bottom: data, backbone, target, optimiser, runner.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import nn

from adapters.pose.data import PoseData, build_pose_data
from adapters.pose.prediction import check_first_prediction
from adapters.pose.run import PoseRun
from adapters.pose.sections import PoseSections, check_pose_sections, needs_logits
from adapters.pose.start import (
    StartingPoint,
    build_starting_point,
    crop_size_px,
    load_target_state,
    starting_point_of,
)
from adapters.pose.validation import PoseErrors
from adapters.swap.first_step import FirstStepCheck
from adapters.swap.ledger import SwapLedger
from adapters.swap.swap import build_swapped
from adapters.targets import PoseTarget, find_pose_target, model_options
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.mean_pose import mean_training_pose
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.models.frozen_layers import freeze
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.training.placement import freeze_batch_norm, place_model, unwrapped
from gesture_pretrain.training.runner import assemble_runner, begin_run


def build_pose_runner(
    *,
    out: str | Path,
    target: str | PoseTarget,
    device: str = "auto",
    resume: bool = False,
    hooks: Sequence[Hook] = (),
    progress: bool = True,
    **sections: Any,
) -> PoseRun:
    """Build a run, which `.train()` then trains.

    Two runs of a target with the same `data`, `schedule` and seed see the same samples in the same
    order for the same number of steps, whatever their backbone and options are.

    Args:
        out: Run folder, created if missing.
        target: A name that `adapters.targets.find_pose_target` knows, or the target.
        device: See `choose_device`.
        resume: Continue from the newest intact checkpoint in `out`.
        hooks: Further mmengine hooks.
        progress: Show the progress display.
        **sections: Fields of `PoseSections`.

    Raises:
        ValueError: Unknown key, invalid value, or a backbone that does not fit the target.
        UnknownTarget, UnknownBackbone: No such name.
        FileExistsError: `out` holds checkpoints and `resume` is false.
        TypeError: Mode "predict" gives no `HandPrediction`, see `check_first_prediction`.
    """
    target = find_pose_target(target) if isinstance(target, str) else target
    config = check_pose_sections(target, sections)
    out, where = begin_run(out, config.training, device=device, resume=resume)
    options = model_options(target, config.model)
    hand_models = config.hand_model.load()
    size_px = crop_size_px(pose_network=config.init, **config.backbone)
    data = build_pose_data(
        config.data,
        build_dataset=target.dataset_for(**options),
        size_px=size_px,
        seed=config.seed,
        hand_models=hand_models,
        pin_memory=where.type == "cuda",
    )
    start = _starting_point(target, config, options, data.taxonomy)
    trained, ledger = _placed_target(target, start, config, options, device=where)
    check_first_prediction(unwrapped(trained), data.train.dataset)
    first_step = FirstStepCheck(ledger, out=out)
    runner = assemble_runner(
        out=out,
        model=trained,
        data=data,
        evaluator=_evaluator(data, hand_models),
        optimizer=build_optimizer(unwrapped(trained), **config.optimizer),
        schedule=config.schedule,
        options=config.training,
        device=where,
        seed=config.seed,
        resume=resume,
        hooks=[first_step, *hooks],
        progress=progress,
    )
    return PoseRun(
        runner=runner,
        target=target,
        network=start.network,
        head_classes=start.head_classes,
        options=options,
        size_px=size_px,
        hand_source=config.hand_model,
        hand_models=hand_models,
        data=data,
        first_step=first_step,
        seed=config.seed,
    )


def _evaluator(data: PoseData, hand_models: Mapping[str, HandModel]) -> PoseErrors:
    truth = GroundTruthReader(data.index, hand_models=hand_models)
    return PoseErrors(truth, mean_training_pose(truth, data.train.dataset.rows))


def _starting_point(
    target: PoseTarget, config: PoseSections, options: Mapping[str, Any], taxonomy: Taxonomy
) -> StartingPoint:
    if config.init is not None:
        return starting_point_of(
            config.init,
            target=target,
            options=options,
            hand_source=config.hand_model,
            **config.backbone,
        )
    return build_starting_point(
        taxonomy=taxonomy,
        gesture_logits=needs_logits(target, options),
        seed=config.seed,
        **config.backbone,
    )


def _placed_target(
    target: PoseTarget,
    start: StartingPoint,
    config: PoseSections,
    options: Mapping[str, Any],
    *,
    device: torch.device,
) -> tuple[nn.Module, SwapLedger]:
    """Build the target around its backbone, and the ledger of every tensor."""
    network, ledger = build_swapped(
        target,
        start.network,
        backbone_name=start.name,
        seed=config.seed,
        hand_models=config.hand_model.load(),  # a copy that moves to the device with the network
        frozen_backbone=start.frozen,
        **options,
    )
    if start.target_state is not None:
        ledger = load_target_state(network, ledger, start)
    if config.training.channels_last:
        network.to(memory_format=torch.channels_last)
    if config.training.freeze_bn:
        freeze_batch_norm(network)
    placed = place_model(network, device, config.training)
    freeze(unwrapped(placed).backbone, start.frozen)  # also modules that were replaced
    return placed, ledger
