"""Sections of a pose config, and the target options they resolve to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.pose.data import PoseDataSection
from adapters.pose.hand_models import HandModelSource
from adapters.pose.start import build_starting_point, check_backbone_of_init
from adapters.targets import PoseTarget, find_pose_target, model_options
from gesture_pretrain.config.sections import arguments_of, check_section, read_sections
from gesture_pretrain.schema import STRICT
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.schedule import Schedule


@dataclass(frozen=True)
class PoseSections:
    """The sections of a pose config, besides its target.

    Attributes:
        data: Which images, and how they are loaded.
        backbone: Arguments of `build_starting_point`.
        model: `size` (a preset of the target), `allow_projection`, and options of the target.
        hand_model: Source of the hand models.
        optimizer: Arguments of `build_optimizer`.
        schedule: Length of the run and learning rate.
        training: Options of the training loop.
        seed: Random seed of new weights, sample order, augmentation and dropout.
        tag: Name of the run.
        init: Stored pose network to continue: the name of a released one, or a folder. It brings
            the weights of the backbone, so `backbone` has `arch`, `size_px` and `frozen` only.
    """

    data: PoseDataSection
    backbone: arguments_of(build_starting_point, "taxonomy", "gesture_logits", "seed")
    model: Mapping[str, Any] = field(default_factory=dict)
    hand_model: HandModelSource = HandModelSource()
    optimizer: arguments_of(build_optimizer, "model") = field(default_factory=dict)
    schedule: Schedule = Schedule()
    training: TrainingOptions = TrainingOptions()
    seed: int = 0
    tag: str | None = None
    init: str | None = None

    __pydantic_config__ = STRICT


def check_pose_sections(target: PoseTarget, sections: Mapping[str, Any]) -> PoseSections:
    """Check the sections of a pose config for a target.

    Options of a target that takes any keyword are checked by the target itself when it is built.

    Raises:
        ValueError: A section or key is unknown or missing, or a value is invalid.
    """
    config = read_sections(PoseSections, sections)
    options = model_options(target, config.model)
    check_section("model", target.build_model, options, ("network", "seed", "hand_models"))
    needs_logits(target, options)
    if config.init is not None:
        check_backbone_of_init(**config.backbone)
    return config


def check_pose_config(config: Mapping[str, Any]) -> PoseSections:
    """Check a pose config, which names its target; raises as `check_pose_sections` does."""
    sections = dict(config)
    if "target" not in sections:
        raise ValueError("target is required: the name of a pose network.")
    return check_pose_sections(find_pose_target(sections.pop("target")), sections)


def needs_logits(target: PoseTarget, options: Mapping[str, Any]) -> bool:
    """Return whether the target, with these options, reads gesture logits."""
    own = {key: value for key, value in options.items() if key != "allow_projection"}
    return target.needs_for(**own).gesture_logits
