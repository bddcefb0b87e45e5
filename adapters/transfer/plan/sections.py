"""Checks of the sections of all runs of a plan.

An error in a section is found when the plan is read, and not hours later in the first fine-tuning.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from adapters.pose.sections import check_pose_sections
from adapters.targets import PoseTarget, UnknownTarget, find_pose_target
from adapters.transfer.plan.plan import Plan, PlanError, merged
from gesture_pretrain.models.architectures import is_architecture
from gesture_pretrain.models.backbone import unknown_arch_message
from gesture_pretrain.pretraining.labels import INDEX_LABELS
from gesture_pretrain.pretraining.sections import check_config
from gesture_pretrain.taxonomy import Taxonomy


def check_plan_sections(plan: Plan) -> None:
    """Raise PlanError for the first invalid section, key or value of a run."""
    for name, section in plan.backbones.items():
        _check_backbone(f"backbones.{name}", section)
    _check_pretraining(plan)
    _check_finetuning(plan)


@contextmanager
def _found_at(place: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, ImportError, UnknownTarget, FileNotFoundError) as error:
        raise PlanError(f"{place}: {error}") from error


def _check_backbone(place: str, section: Mapping[str, Any]) -> None:
    with _found_at(place):
        if not is_architecture(section["arch"].partition(".")[0]):
            raise ValueError(unknown_arch_message(section["arch"]))


def _check_pretraining(plan: Plan) -> None:
    trained = {name: arm for name, arm in plan.arms.items() if arm.pretrained_here}
    places = {"pretraining": {}} if trained or plan.pretraining else {}
    places |= {f"arms.{name}.pretrain": arm.pretrain for name, arm in trained.items()}
    for place, changes in places.items():
        sections = _with_data(plan, merged(plan.pretraining, changes))
        with _found_at(place):
            check_config({**sections, "backbone": {"arch": ""}})
            _check_taxonomy(sections["data"])


def _check_finetuning(plan: Plan) -> None:
    for name, target in plan.targets.items():
        with _found_at(f"targets.{name}.target"):
            network = find_pose_target(target.target)
        with _found_at(f"targets.{name}.model"):
            check_pose_sections(
                network, {"data": {"index": ""}, "backbone": {}, "model": target.model}
            )
        _check_finetuning_of(plan, "finetuning", network, {})
        _check_finetuning_of(plan, f"targets.{name}.finetuning", network, target.finetuning)
    for name, arm in plan.arms.items():
        _check_finetuning_of(plan, f"arms.{name}.finetuning", network, arm.finetuning)


def _check_finetuning_of(plan: Plan, place: str, network: PoseTarget, changes: Mapping) -> None:
    sections = _with_data(plan, merged(plan.finetuning, changes))
    with _found_at(place):
        check_pose_sections(network, {**sections, "backbone": {}})
        _check_taxonomy(sections["data"])
        if "fraction" in sections["data"]:
            raise ValueError(
                "data.fraction is set by the plan's fractions. Leave it out here and in data; in "
                "pretraining.data it is the fraction of the gesture labels."
            )


def _with_data(plan: Plan, sections: dict[str, Any]) -> dict[str, Any]:
    return {**sections, "data": {**plan.data, **sections.get("data", {})}}


def _check_taxonomy(data: Mapping[str, Any]) -> None:
    name = data.get("taxonomy", "interhand26m")
    if name != INDEX_LABELS:
        Taxonomy.load(name)
