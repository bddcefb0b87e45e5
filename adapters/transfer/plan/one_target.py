"""The plan that compares a registered backbone with its baselines in one target."""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.pose.sections import check_pose_config
from adapters.targets import PoseTarget, model_options
from adapters.transfer.plan.plan import FINETUNING_SECTIONS
from gesture_pretrain.config.override import apply_overrides
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.weights.record import WeightRecord
from gesture_pretrain.weights.registry import find_backbone
from gesture_pretrain.weights.starting_backbone import WORDS

PROTOCOL_NAMES = ("interhand_wrist", "eanet_corrected", "eanet_upstream")
_OTHER_SECTIONS = ("backbone", "seed", "tag")  # of a pose config; the plan has its own


def one_target_plan(
    target: PoseTarget,
    backbone: str,
    baselines: Sequence[str],
    *,
    sections: Mapping[str, Any],
    seeds: Sequence[int] = (0,),
    split: str = "test",
    protocols: Sequence[str] = PROTOCOL_NAMES,
) -> dict[str, Any]:
    """Return the values of a plan for `adapters.transfer.open_study`.

    Args:
        target: Network that is trained around each backbone.
        backbone: Name or path of registered weights.
        baselines: "random", "imagenet", "timm", or names of registered weights of the same
            architecture.
        sections: Sections of every training run, see `pose_sections`.
        seeds: Seeds of the runs; each arm has one run per seed.
        split: Split of the index that is scored.
        protocols: Names of protocols; the first is the one that is tested.

    Raises:
        ValueError: A baseline is given twice or is the backbone itself.
        UnknownBackbone: There are no weights of a name.
    """
    record = find_backbone(backbone).record
    arms = _arms(record.name, backbone, baselines)
    others = [name for name in arms if name != record.name]
    given = copy.deepcopy({name: sections.get(name) or {} for name in FINETUNING_SECTIONS})
    model = dict(sections.get("model") or {})
    return {
        "name": re.sub(r"[^A-Za-z0-9_-]+", "_", f"{record.name}_in_{target.name}"),
        "question": f"Does {record.name} lower the error of {target.name}, "
        f"compared with {', '.join(others)}?",
        "data": {"index": given["data"].pop("index")},
        "backbones": {record.arch: {"arch": record.arch, "size_px": _size(target, model, record)}},
        "arms": arms,
        "targets": {target.name: {"target": target.name, "model": model}},
        "pretraining": _heads(record),
        "fractions": [given["data"].pop("fraction", 1.0)],
        "finetuning": given,
        "seeds": list(seeds),
        "comparisons": [{"arm": record.name, "reference": name} for name in others],
        "protocols": list(protocols),
        "test": {"split": split},
    }


def pose_sections(
    target: PoseTarget,
    config: Mapping[str, Any],
    options: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    announce: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Return the sections that all runs of a comparison share.

    Args:
        target: Network that is trained.
        config: Sections of a pose config, or {}; `backbone`, `seed` and `tag` are left out.
        options: Dotted keys and their values, such as `schedule.iterations`. None changes nothing,
            and `schedule.epochs` replaces the iterations of the config.
        overrides: `section.key=value`, applied last.
        announce: Receives a line of text when the bundled hand model is chosen, which is the
            default for data that were rendered with it.

    Raises:
        ValueError: A section or key is unknown, or the sections continue a stored pose network.
    """
    given = copy.deepcopy(dict(config))
    sections = {name: value for name, value in given.items() if name not in _OTHER_SECTIONS}
    sections["target"] = target.name
    chosen = {key: value for key, value in options.items() if value is not None}
    apply_overrides(sections, chosen)
    if "schedule.epochs" in chosen:
        sections["schedule"].pop("iterations", None)
    index = chosen.get("data.index")
    if index is not None and sections.get("hand_model") is None and _is_rendered(index):
        sections["hand_model"] = {"path": "open", "tip_convention": "smplx"}
        announce("The data are rendered with the bundled hand model, so that model is used.")
    apply_overrides(sections, overrides)
    if sections.get("init") is not None:
        raise ValueError(
            f"init={sections['init']!r} continues one pose network, but backbones are compared in "
            "new ones. Remove init."
        )
    check_pose_config({"data": {"index": ""}, **sections, "backbone": {}})
    return sections


def _arms(name: str, backbone: str, baselines: Sequence[str]) -> dict[str, dict[str, Any]]:
    arms = {name: {"weights": str(backbone)}}
    for baseline in baselines:
        label = baseline if baseline in WORDS else find_backbone(baseline).record.name
        if label in arms:
            raise ValueError(
                f"{label!r} would be compared with itself. Give each baseline once, and not the "
                "backbone itself."
            )
        arms[label] = {"init": label} if label in WORDS else {"weights": baseline}
    return arms


def _size(target: PoseTarget, model: Mapping[str, Any], record: WeightRecord) -> int:
    options = model_options(target, model)
    options.pop("allow_projection", None)
    return target.needs_for(**options).input_px or record.input.size_px


def _heads(record: WeightRecord) -> dict[str, Any]:
    """Return the shape of the heads, so that a target that reads logits gets equal ones."""
    if record.heads is None:
        return {}
    return {"heads": {"hidden": record.heads.hidden, "dropout": record.heads.dropout}}


def _is_rendered(index: str) -> bool:
    return bool(HandIndex.open(index).meta.get("synthetic"))
