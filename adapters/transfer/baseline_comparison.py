"""A backbone in a target against its baselines: sections of the runs, training, scores, table."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.pose.training import check_pose_config
from adapters.targets import PoseTarget, model_options
from adapters.transfer.backbone_comparison import comparison_arms, train_arms
from adapters.transfer.comparison_table import PROTOCOL_NAMES, Comparison, compare_arms
from gesture_pretrain.config.override import apply_override
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.protocol import find_protocols


def compare_with_baselines(
    target: PoseTarget,
    backbone: str,
    baselines: Sequence[str],
    *,
    sections: Mapping[str, Any],
    out: Path,
    seeds: Sequence[int] = (0,),
    split: str = "test",
    protocols: Sequence[str] = PROTOCOL_NAMES,
    device: str = "auto",
) -> Comparison:
    """Train a target around a backbone and around each baseline alike, and score both.

    Args:
        target: What is trained.
        backbone: Name or path of registered weights.
        baselines: As in `comparison_arms`.
        sections: Of every run, see `comparison_sections`.
        out: Gets a run folder per arm and seed.
        seeds: One run of each arm per seed.
        split: Predicted and scored.
        protocols: Names of protocols.
        device: As in `build_pose_runner`.

    Raises:
        As `comparison_arms`, `train_arms` and `find_protocols`.
    """
    options = model_options(target, sections.get("model") or {})
    options.pop("allow_projection", None)
    arms = comparison_arms(backbone, baselines, size_px=target.needs_for(**options).input_px)
    bound = find_protocols(protocols)
    trained, run = train_arms(
        arms, sections=sections, seeds=seeds, split=split, out=out, device=device
    )
    reader = GroundTruthReader(run.data.index, hand_models=run.hand_models)
    return compare_arms(target.name, trained, reader, bound)


def comparison_sections(
    target: PoseTarget,
    *,
    config: Mapping[str, Any] | None = None,
    index: str | None = None,
    hand_model: str | None = None,
    size: str | None = None,
    allow_projection: bool = False,
    iterations: int | None = None,
    epochs: float | None = None,
    overrides: Sequence[str] = (),
    announce: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Sections of `build_pose_runner` without `backbone` and `seed`, which each run has of its own.

    Args:
        target: What is trained.
        config: Sections to begin with; those of one run alone are left out.
        index: Index or data root.
        hand_model: "open", a MANO file or a folder; None takes the open hand for rendered data,
            where the config names none.
        size: Preset of the target.
        allow_projection: Let the target put a 1x1 projection behind the backbone.
        iterations: Steps of the optimiser.
        epochs: Passes over the training images, instead of steps.
        overrides: `section.key=value`, applied last.
        announce: Takes a line of text where a hand is chosen.

    Raises:
        ValueError: An unknown section or key.
    """
    only_of_a_run = ("backbone", "seed", "tag")
    given = copy.deepcopy(dict(config or {}))
    sections = {name: value for name, value in given.items() if name not in only_of_a_run}
    sections["target"] = target.name
    for key, value in (
        ("data.index", index),
        ("hand_model.path", hand_model),
        ("model.size", size),
        ("model.allow_projection", allow_projection or None),
        ("schedule.iterations", iterations),
        ("schedule.epochs", epochs),
    ):
        if value is not None:
            apply_override(sections, f"{key}={value!r}")
    if epochs is not None:
        sections["schedule"].pop("iterations", None)
    if index is not None and sections.get("hand_model") is None and _is_rendered(index):
        sections["hand_model"] = {"path": "open", "tip_convention": "smplx"}
        announce("The data are rendered with the open hand, so that is the hand model.")
    for override in overrides:
        apply_override(sections, override)
    check_pose_config({"data": {"index": ""}, **sections, "backbone": {}})
    return sections


def _is_rendered(index: str) -> bool:
    return bool(HandIndex.open(index).meta.get("synthetic"))
