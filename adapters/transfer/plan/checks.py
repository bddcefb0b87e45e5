"""Checks of the parts of a plan against each other.

Names are checked when the plan is read, and registered weights and indexes when its cells are made:
both before anything runs.
"""

from pathlib import Path

from adapters.transfer.plan.plan import (
    AS_MANY_IMAGES_AS_PRETRAINING,
    Comparison,
    Plan,
    PlanError,
    merged,
)
from adapters.transfer.plan.sections import check_plan_sections
from gesture_pretrain.names import require_choice
from gesture_pretrain.weights.registry import UnknownBackbone, find_backbone
from gesture_pretrain.weights.starting_backbone import WORDS


def check_plan(plan: Plan) -> None:
    """Raise PlanError for the first impossible value of a plan; names its key."""
    try:
        if not isinstance(plan.data.get("index"), str):
            raise PlanError("data.index is required: the folder of an index or its dataset.")
        _check_arms(plan)
        _check_targets(plan)
        check_plan_sections(plan)
        _check_pretrainings(plan)
        _check_curve(plan)
        _check_learning_rate(plan)
        for number, comparison in enumerate(plan.comparisons):
            _check_comparison(plan, f"comparisons[{number}]", comparison)
        _check_external(plan)
    except PlanError:
        raise
    except ValueError as error:
        raise PlanError(str(error)) from error


def _check_pretrainings(plan: Plan) -> None:
    count, seeds = plan.pretrainings, len(plan.seeds)
    if count is not None and seeds % count:
        raise PlanError(
            f"pretrainings is {count}, but the {seeds} seeds must divide evenly among the "
            "pretrainings. Choose a divisor of the number of seeds."
        )


def _check_curve(plan: Plan) -> None:
    steps = plan.curve
    if not steps:
        return
    if list(steps) != sorted(steps):
        raise PlanError(f"curve is {list(steps)}; list the numbers of steps in ascending order.")
    for name, target in plan.targets.items():
        sections = merged(plan.finetuning, target.finetuning)
        constant = sections.get("schedule", {}).get("final_lr_ratio") == 1
        if not constant or sections.get("training", {}).get("ema_decay") is None:
            raise PlanError(
                f"curve needs schedule.final_lr_ratio=1 and training.ema_decay in the fine-tuning "
                f"of {name}. Only then is a point the end of a shorter run."
            )


def _check_learning_rate(plan: Plan) -> None:
    rule = plan.learning_rate
    if rule is None:
        return
    if rule.split == plan.test.split and plan.test.index is None:
        raise PlanError(
            f"learning_rate.split is {rule.split!r}, which is also scored. Choose another split."
        )
    for name, arm in plan.arms.items():
        if "lr" in arm.finetuning.get("optimizer", {}):
            raise PlanError(
                f"arms.{name}.finetuning.optimizer.lr is given, but learning_rate chooses it. "
                "Leave one of them out."
            )


def _check_arms(plan: Plan) -> None:
    pretrained = [arm for arm in plan.arms.values() if arm.pretrained_here]
    for name, arm in plan.arms.items():
        if arm.init is not None and not (arm.optional or is_stored(arm.init)):
            require_choice(f"arms.{name}.init", arm.init, (*WORDS, "a file or name of weights"))
        if arm.extra == AS_MANY_IMAGES_AS_PRETRAINING and not pretrained:
            raise PlanError(
                f"arms.{name}.extra is 'pretraining', but no arm of the plan is pretrained. Give "
                "a number of iterations."
            )


def is_stored(init: str) -> bool:
    """Return whether initial weights are a file or registered weights."""
    if Path(init).is_file():
        return True
    try:
        find_backbone(init)
    except (UnknownBackbone, OSError, ValueError):
        return False
    return init not in WORDS


def _check_targets(plan: Plan) -> None:
    for name, target in plan.targets.items():
        if target.backbone is not None or len(plan.backbones) > 1:
            require_choice(f"targets.{name}.backbone", target.backbone, plan.backbones)
        for arm in plan.arms_of(name):
            require_choice(f"one of targets.{name}.arms", arm, plan.arms)


def _check_comparison(plan: Plan, key: str, comparison: Comparison) -> None:
    for role in ("arm", "reference"):
        require_choice(f"{key}.{role}", getattr(comparison, role), plan.arms)
    for role in ("target", "reference_target"):
        require_choice(f"{key}.{role}", getattr(comparison, role), (*plan.targets, None))
    same = comparison.target == comparison.reference_target
    if same and comparison.arm == comparison.reference:
        raise PlanError(f"{key} compares {comparison.arm!r} with itself.")
    asked = plan.targets if comparison.target is None else [comparison.target]
    if not any(_is_run(plan, comparison, target) for target in asked):
        raise PlanError(
            f"{key}: no target is run with both of its arms, so there is nothing to compare. Check "
            "its target and the arms of the targets."
        )


def _is_run(plan: Plan, comparison: Comparison, target: str) -> bool:
    other = comparison.reference_target or target
    return comparison.arm in plan.arms_of(target) and comparison.reference in plan.arms_of(other)


def _check_external(plan: Plan) -> None:
    names = [system.name for system in plan.external]
    for number, system in enumerate(plan.external):
        key = f"external[{number}]"
        if names.count(system.name) > 1:
            raise PlanError(
                f"{key}.name is {system.name!r}, which is already the name of another row."
            )
        if not Path(system.path).is_file():
            raise PlanError(
                f"{key}.path: there is no file {system.path}. Create it, or leave the row out: it "
                "changes no run, so that it can be added before a later report."
            )
        require_choice(f"{key}.reference", system.reference, (*plan.arms, None))
