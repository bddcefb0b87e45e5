"""Training any pose target on the runner of `gesture_pretrain.training`, from plain sections.

Read `build_pose_runner` from top to bottom: data, backbone, target, optimiser, hooks, runner.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import nn
from torch.utils.data import Dataset

from adapters.base import PoseTarget, find_pose_target
from adapters.first_step import FirstStepCheck
from adapters.pose_backbone import build_starting_point, crop_size_px, freeze
from adapters.pose_data import PoseData, build_pose_data
from adapters.pose_hand_models import HandModelSource
from adapters.pose_validation import PoseErrors
from adapters.swap import build_swapped
from adapters.swap_ledger import SwapLedger
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.evaluation.ground_truth import GroundTruthReader
from gesture_pretrain.hand_model import HandModel
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.training.config_file import config_sections, require_sections
from gesture_pretrain.training.ema import WeightAverage
from gesture_pretrain.training.loop import evaluated_model, unwrapped
from gesture_pretrain.training.optimizer import (
    build_optim_wrapper,
    build_optimizer,
    choose_precision,
)
from gesture_pretrain.training.runner import (
    PretrainRunner,
    TrainingOptions,
    assemble_runner,
    freeze_batch_norm,
    place_model,
    refuse_used_folder,
    start_processes,
)
from gesture_pretrain.training.schedule import Schedule
from gesture_pretrain.training.sections import check_section
from gesture_pretrain.weight_record import TaxonomyRecord

_GIVEN_TO_DATA = ("build_dataset", "size_px", "seed", "hand_models", "pin_memory")
_GIVEN_TO_BACKBONE = ("taxonomy", "gesture_logits", "seed")
_GIVEN_TO_MODEL = ("network", "seed", "hand_models")


@dataclass(frozen=True)
class PoseRun:
    """A run that is ready to train, and what is needed to store and use what it trains.

    Attributes:
        runner: `runner.train()` trains; `runner.last_metrics` are the last validation's scores.
        target: what is trained.
        network: the backbone, maybe with heads, that the target was built around.
        head_classes: what these heads were trained to tell apart, None where nothing.
        options: of `target.build_model`, presets resolved.
        size_px: side of the crops.
        hand_source: which hand model.
        hand_models: "right" and "left", on the CPU.
        data: loaders, index and taxonomy.
        first_step: the check whose `ledger` says what became of every tensor.
        seed: of the run.
    """

    runner: PretrainRunner
    target: PoseTarget
    network: Backbone | GestureNetwork
    head_classes: TaxonomyRecord | None
    options: Mapping[str, Any]
    size_px: int
    hand_source: HandModelSource
    hand_models: Mapping[str, HandModel]
    data: PoseData
    first_step: FirstStepCheck
    seed: int

    @property
    def model(self) -> nn.Module:
        """What is validated and stored: the averaged weights where there are some."""
        return evaluated_model(self.runner)

    @property
    def ledger(self) -> SwapLedger:
        """Of the swap; completed by the first step."""
        return self.first_step.ledger

    def dataset(
        self,
        rows: Sequence[int],
        *,
        index: HandIndex | None = None,
        box_source: str | None = None,
    ) -> Dataset:
        """What the network is shown of some rows, without augmentation, to predict them.

        Args:
            rows: rows of `index`, each of one hand; the target may leave out some.
            index: the data; None for that of the training.
            box_source: "rootnet" for RootNet's detected boxes; None for those of the training.

        Raises:
            ValueError: the target or the index has no such boxes.
        """
        return self.target.build_dataset(
            self.data.index if index is None else index,
            rows,
            self.data.taxonomy,
            self.size_px,
            hand_models=self.hand_models,
            augmentation=None,
            seed=self.seed,
            announce=None,
            **({} if box_source is None else {"box_source": box_source}),
        )

    def train(self) -> nn.Module:
        """Trains to the end and returns `model`."""
        self.runner.train()
        return self.model


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
    """Everything a run needs; `.train()` then trains it.

    Two runs of a target with the same `data`, `schedule` and seed see the same samples in the same
    order for the same number of steps, whatever their backbone and options are.

    Args:
        out: run folder; made where missing.
        target: a name that `adapters.base.find_pose_target` knows, or the target.
        data: keys of `build_pose_data`.
        backbone: keys of `build_starting_point`.
        model: `size` (a preset of the target), `allow_projection`, and options of the target.
        hand_model: keys of `HandModelSource`.
        optimizer: keys of `build_optimizer`.
        schedule: keys of `Schedule`; `iterations` sets the number of steps, else `epochs`.
        training: keys of `TrainingOptions`.
        seed: of new weights, order, augmentation and dropout.
        device: see `choose_device`.
        resume: go on from the newest intact checkpoint in `out`.
        hooks: further mmengine hooks.
        progress: show the progress display.

    Raises:
        ValueError: an unknown key or an impossible value; the message names it.
        SwapError: backbone and target do not go together.
        UnknownTarget, UnknownBackbone: no such name.
        FileExistsError: `out` holds checkpoints and `resume` is false.
    """
    model, hand_model, optimizer, schedule, training = (
        section or {} for section in (model, hand_model, optimizer, schedule, training)
    )
    chosen = find_pose_target(target) if isinstance(target, str) else target
    check_pose_sections(
        chosen,
        data=data,
        backbone=backbone,
        model=model,
        hand_model=hand_model,
        optimizer=optimizer,
        schedule=schedule,
        training=training,
    )
    out = Path(out)
    refuse_used_folder(out, resume)
    settings = TrainingOptions(**training)
    where = start_processes(device, settings)
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
    network, ledger = build_swapped(
        chosen,
        start.network,
        backbone_name=start.name,
        seed=seed,
        hand_models=hand_source.load(),  # moved to the device with the network
        frozen_backbone=start.frozen,
        **options,
    )
    trained = _prepared(network, settings, frozen=start.frozen)
    trained = place_model(trained, where, settings)
    adamw = build_optimizer(unwrapped(trained), **optimizer)
    first_step = FirstStepCheck(ledger, out=out, frozen_backbone=start.frozen)
    average = None
    if settings.ema_decay is not None:
        average = WeightAverage(unwrapped(trained), settings.ema_decay)
    truth = GroundTruthReader(pose_data.index, hand_models=hand_models)
    runner = assemble_runner(
        out=out,
        model=trained,
        data=pose_data,
        evaluator=PoseErrors(truth),
        optim_wrapper=build_optim_wrapper(
            adamw,
            device=where,
            precision=choose_precision(settings.precision, where),
            clip_norm=settings.clip_norm,
        ),
        schedule=Schedule(**schedule),
        options=settings,
        weight_average=average,
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


def check_pose_sections(target: PoseTarget, **sections: Mapping) -> None:
    """Raises for the first unknown or missing key of any section of `build_pose_runner`.

    Options of a target that takes any keyword are checked by the target itself when it is built.
    """
    parts = {
        "data": (build_pose_data, _GIVEN_TO_DATA),
        "backbone": (build_starting_point, _GIVEN_TO_BACKBONE),
        "hand_model": (HandModelSource, ()),
        "optimizer": (build_optimizer, ("model",)),
        "schedule": (Schedule, ()),
        "training": (TrainingOptions, ()),
    }
    for name, section in sections.items():
        if name != "model":
            check_section(name, parts[name][0], section, parts[name][1])
    model = sections.get("model", {})
    own = {key: value for key, value in model.items() if key != "size"}
    parameters = inspect.signature(target.build_model).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        check_section("model", target.build_model, own, _GIVEN_TO_MODEL)
    if "size" in model:
        target.options(model["size"])


def check_pose_config(config: Mapping[str, Any]) -> None:
    """Raises for the first unknown section or key of a pose config, naming the known ones."""
    known = config_sections(build_pose_runner)
    require_sections(config, known, required=("target", "data", "backbone"))
    sections = {
        name: value
        for name, value in config.items()
        if name not in ("target", "seed", "tag") and value is not None
    }
    check_pose_sections(find_pose_target(config["target"]), **sections)


def model_options(target: PoseTarget, model: Mapping) -> dict[str, Any]:
    """Options of `target.build_model`: those of the preset `size`, then the section's own.

    The word none on the command line is read as None; an option whose default is a word has it as a
    word (`guidance="none"`).
    """
    parameters = inspect.signature(target.build_model).parameters
    words = {name for name, p in parameters.items() if isinstance(p.default, str)}
    own = {
        key: "none" if value is None and key in words else value
        for key, value in model.items()
        if key != "size"
    }
    return {**target.options(model.get("size", "full")), **own}


def needs_logits(target: PoseTarget, options: Mapping[str, Any]) -> bool:
    """Whether the target, with these options, reads gesture logits."""
    own = {key: value for key, value in options.items() if key != "allow_projection"}
    return target.needs_for(**own).gesture_logits


def _prepared(network: nn.Module, settings: TrainingOptions, *, frozen: bool) -> nn.Module:
    if settings.channels_last:
        network.to(memory_format=torch.channels_last)
    if settings.freeze_bn:
        freeze_batch_norm(network)
    if frozen:
        freeze(network.backbone)
    return network
