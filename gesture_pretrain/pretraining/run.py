"""Pretraining of a backbone on gesture labels (Stage 1), built from config sections.

`build_runner` builds, in order, device, data, network, optimiser and runner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from gesture_pretrain.config.file import require_sections
from gesture_pretrain.config.sections import build_from_section, check_section, config_sections
from gesture_pretrain.config.values import check_shared_values
from gesture_pretrain.data.samples.hand_annotations import BOX_SOURCES
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import GestureHeads, build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.names import require_choice
from gesture_pretrain.pretraining.accuracy import GestureAccuracy
from gesture_pretrain.pretraining.beyond_paper.section import (
    BeyondPaperSection,
    build_beyond_paper,
    check_beyond_paper,
)
from gesture_pretrain.pretraining.data import (
    LABEL_VARIANTS,
    GestureData,
    build_gesture_data,
    neutral_ends_of,
)
from gesture_pretrain.pretraining.model import FineWeightRamp, GesturePretrainer
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.placement import (
    evaluated_model,
    freeze_batch_norm,
    place_model,
    unwrapped,
)
from gesture_pretrain.training.runner import TrainingRunner, assemble_runner, begin_run
from gesture_pretrain.training.schedule import Schedule
from gesture_pretrain.weights.starting_backbone import build_starting_backbone


@dataclass(frozen=True)
class Objective:
    """Weights of the losses; see `FineWeightRamp` and `GesturePretrainer`.

    Attributes:
        coarse_weight: Weight of the coarse cross entropy.
        ramp: Fields of `FineWeightRamp`.
        label_smoothing: Label smoothing of both cross entropies.
    """

    coarse_weight: float = 1.0
    ramp: Mapping | None = None
    label_smoothing: float = 0.0


def build_runner(
    *,
    out: str | Path,
    data: Mapping,
    backbone: Mapping,
    heads: Mapping | None = None,
    objective: Mapping | None = None,
    beyond_paper: Mapping | None = None,
    optimizer: Mapping | None = None,
    schedule: Mapping | None = None,
    training: Mapping | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    hooks: Sequence[Hook] = (),
    progress: bool = True,
) -> TrainingRunner:
    """Build the runner of a pretraining run; start it with `runner.train()`.

    Args:
        out: Run folder, created if missing.
        data: Arguments of `build_gesture_data`.
        backbone: Arguments of `build_starting_backbone`.
        heads: Arguments of `build_gesture_heads`.
        objective: Arguments of `Objective`.
        beyond_paper: Arguments of `BeyondPaperSection`, see docs/pretraining.md.
        optimizer: Arguments of `build_optimizer`.
        schedule: Arguments of `Schedule`.
        training: Arguments of `TrainingOptions`.
        seed: Random seed of initial weights, order, augmentation and dropout.
        device: See `choose_device`.
        resume: Continue from the newest intact checkpoint in `out`.
        hooks: Additional mmengine hooks.
        progress: Show the progress display.

    Raises:
        ValueError: An unknown key or an invalid value.
        FileExistsError: `out` contains checkpoints and `resume` is false.
    """
    heads, objective, beyond_paper, optimizer, schedule, training = (
        section or {} for section in (heads, objective, beyond_paper, optimizer, schedule, training)
    )
    check_sections(
        data=data,
        backbone=backbone,
        heads=heads,
        objective=objective,
        beyond_paper=beyond_paper,
        optimizer=optimizer,
        schedule=schedule,
        training=training,
    )
    extra = BeyondPaperSection(**beyond_paper)
    out, options, where = begin_run(out, training, device=device, resume=resume)
    gesture_data = build_from_section(
        "data",
        build_gesture_data,
        data,
        size_px=backbone.get("size_px", 256),
        seed=seed,
        pin_memory=where.type == "cuda",
        crops=extra.plan,
    )
    trunk = build_starting_backbone(**{"seed": seed, **backbone})
    model = _build_model(trunk, gesture_data, heads, Objective(**objective), extra, options, seed)
    model = place_model(model, where, options)
    runner = assemble_runner(
        out=out,
        model=model,
        data=gesture_data,
        evaluator=GestureAccuracy(),
        optimizer=build_optimizer(unwrapped(model), **optimizer),
        schedule=Schedule(**schedule),
        options=options,
        device=where,
        seed=seed,
        resume=resume,
        hooks=hooks,
        progress=progress,
    )
    if extra.dense is not None:
        unwrapped(model).beyond_paper.learn_from(evaluated_model(runner).backbone)
    return runner


def check_config(config: Mapping[str, Any]) -> None:
    """Raise ValueError for an unknown section or key, or an invalid value, of a config."""
    require_sections(config, config_sections(build_runner), required=("data", "backbone"))
    check_sections(
        **{k: v for k, v in config.items() if k not in ("seed", "tag") and v is not None}
    )


def check_sections(**sections: Mapping) -> None:
    """Raise ValueError for an unknown or missing key, or an invalid value, in a section."""
    parts = {
        "data": (build_gesture_data, ("size_px", "seed", "pin_memory", "crops")),
        "backbone": (build_starting_backbone, ()),
        "heads": (build_gesture_heads, ("in_channels", "num_coarse", "num_fine")),
        "objective": (Objective, ()),
        "beyond_paper": (BeyondPaperSection, ()),
        "optimizer": (build_optimizer, ("model",)),
        "schedule": (Schedule, ()),
        "training": (TrainingOptions, ()),
    }
    for name, section in sections.items():
        check_section(name, parts[name][0], section, parts[name][1])
    ramp = sections.get("objective", {}).get("ramp") or {}
    build_from_section("objective.ramp", FineWeightRamp, ramp)
    check_beyond_paper(sections.get("beyond_paper", {}), sections.get("training", {}))
    data = sections.get("data", {})
    neutral_ends_of(data.get("neutral_ends"))
    require_choice("data.label_variant", data.get("label_variant"), (*LABEL_VARIANTS, None))
    require_choice("data.box_source", data.get("box_source", BOX_SOURCES[0]), BOX_SOURCES)
    check_shared_values(**sections)


def _build_model(
    trunk: Backbone,
    data: GestureData,
    heads: Mapping,
    objective: Objective,
    extra: BeyondPaperSection,
    options: TrainingOptions,
    seed: int,
) -> GesturePretrainer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifiers: GestureHeads = build_gesture_heads(
            trunk.pooled_channels,
            num_coarse=data.taxonomy.num_coarse,
            num_fine=data.taxonomy.num_fine,
            **heads,
        )
        beyond_paper = build_beyond_paper(
            extra,
            trunk,
            num_coarse=data.taxonomy.num_coarse,
            num_fine=data.taxonomy.num_fine,
        )
    model = GesturePretrainer(
        GestureNetwork(trunk, classifiers),
        ramp=FineWeightRamp(**(objective.ramp or {})),
        coarse_weight=objective.coarse_weight,
        label_smoothing=objective.label_smoothing,
        channels_last=options.channels_last,
        beyond_paper=beyond_paper,
    )
    if options.freeze_bn:
        freeze_batch_norm(model)
    return model
