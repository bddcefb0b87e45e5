"""Sections of a pose run: their keys, and the target options they resolve to."""

import inspect
from collections.abc import Mapping
from typing import Any

from adapters.pose.backbone import build_starting_point
from adapters.pose.data import build_pose_data
from adapters.pose.hand_models import HandModelSource
from adapters.targets import PoseTarget, model_options
from gesture_pretrain.config.sections import check_section
from gesture_pretrain.config.values import check_shared_values
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.schedule import Schedule

# arguments that code passes and a section may not set
_GIVEN = {
    "data": ("build_dataset", "size_px", "seed", "hand_models", "pin_memory"),
    "backbone": ("taxonomy", "gesture_logits", "seed"),
    "model": ("network", "seed", "hand_models"),
    "optimizer": ("model",),
}
_PARTS = {
    "data": build_pose_data,
    "backbone": build_starting_point,
    "hand_model": HandModelSource,
    "optimizer": build_optimizer,
    "schedule": Schedule,
    "training": TrainingOptions,
}


def check_pose_sections(target: PoseTarget, **sections: Mapping) -> None:
    """Raise for the first unknown or missing key or invalid value of `build_pose_runner`.

    Options of a target that takes any keyword are checked by the target itself when it is built.
    """
    for name, section in sections.items():
        if name != "model":
            check_section(name, _PARTS[name], section, _GIVEN.get(name, ()))
    model = sections.get("model", {})
    own = {key: value for key, value in model.items() if key != "size"}
    parameters = inspect.signature(target.build_model).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        check_section("model", target.build_model, own, _GIVEN["model"])
    needs_logits(target, model_options(target, model))
    HandModelSource(**sections.get("hand_model", {}))
    check_shared_values(**sections)


def needs_logits(target: PoseTarget, options: Mapping[str, Any]) -> bool:
    """Return whether the target, with these options, reads gesture logits."""
    own = {key: value for key, value in options.items() if key != "allow_projection"}
    return target.needs_for(**own).gesture_logits
