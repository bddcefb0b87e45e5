"""Sections of a pretraining config."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import NonNegativeFloat

from gesture_pretrain.config.sections import arguments_of, read_sections
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.pretraining.beyond_paper.section import BeyondPaperSection
from gesture_pretrain.pretraining.data_section import GestureDataSection
from gesture_pretrain.pretraining.distillation import build_distillation
from gesture_pretrain.pretraining.objective import FineWeightRamp
from gesture_pretrain.pretraining.probes import ProbeHook
from gesture_pretrain.schema import STRICT, Fraction, section
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.schedule import Schedule
from gesture_pretrain.weights.starting_backbone import build_starting_backbone


@section
class Objective:
    """Weights of the losses; see `FineWeightRamp` and `GesturePretrainer`.

    Attributes:
        coarse_weight: Weight of the coarse cross entropy.
        ramp: Weight of the fine cross entropy by epoch.
        label_smoothing: Label smoothing of both cross entropies.
    """

    coarse_weight: NonNegativeFloat = 1.0
    ramp: FineWeightRamp = FineWeightRamp()
    label_smoothing: Fraction = 0.0


@dataclass(frozen=True)
class PretrainingSections:
    """The sections of a pretraining config.

    Attributes:
        data: Which images, and how they are loaded.
        backbone: Arguments of `build_starting_backbone`.
        heads: Arguments of `build_gesture_heads`.
        objective: Weights of the losses.
        beyond_paper: Options beyond the paper's recipe, see docs/pretraining.md.
        distillation: Arguments of `build_distillation`; None for no teacher.
        probes: Arguments of `ProbeHook`; None for no probes during training.
        optimizer: Arguments of `build_optimizer`.
        schedule: Length of the run and learning rate.
        training: Options of the training loop.
        seed: Random seed of initial weights, order, augmentation and dropout.
        tag: Tag of the registered weights.
    """

    data: GestureDataSection
    backbone: arguments_of(build_starting_backbone)
    heads: arguments_of(build_gesture_heads, "in_channels", "num_coarse", "num_fine") = field(
        default_factory=dict
    )
    objective: Objective = Objective()
    beyond_paper: BeyondPaperSection = BeyondPaperSection()
    distillation: arguments_of(build_distillation, "student", "taxonomy", "device") | None = None
    probes: arguments_of(ProbeHook, "train", "validation") | None = None
    optimizer: arguments_of(build_optimizer, "model") = field(default_factory=dict)
    schedule: Schedule = Schedule()
    training: TrainingOptions = TrainingOptions()
    seed: int = 0
    tag: str | None = None

    __pydantic_config__ = STRICT

    def __post_init__(self):
        self.beyond_paper.check_training(self.training)


def check_config(config: Mapping[str, Any]) -> PretrainingSections:
    """Check a pretraining config.

    Raises:
        ValueError: A section or key is unknown or missing, or a value is invalid.
    """
    return read_sections(PretrainingSections, config)
