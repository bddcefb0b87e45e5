"""Sections with an unknown key, or an impossible value, are refused before a run begins."""

from dataclasses import dataclass

import pytest

from adapters.pose.sections import check_pose_config
from gesture_pretrain.config.sections import check_section
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.pretraining.sections import check_config

MINIMAL = {"data": {"index": "nowhere"}, "backbone": {"arch": "test_resnet"}}


@dataclass
class Part:
    given: int
    needed: int
    size: int = 3


def test_a_section_holds_arguments_that_the_code_does_not_give():
    assert check_section("part", Part, {"needed": 2}, ("given",)) == {"needed": 2}
    for section, said in (
        ({"needed": 2, "sise": 4}, "Unknown key part.sise.*'size'.*Known: needed, size"),
        ({"needed": 2, "given": 4}, "Unknown key part.given"),
        ({}, "part.needed is required"),
        (3, "part is 3"),
    ):
        with pytest.raises(ValueError, match=said):
            check_section("part", Part, section, ("given",))


@pytest.mark.parametrize("kind", ["pretraining", "pose"])
def test_none_stands_for_the_defaults_and_both_stages_share_them(kind):
    check = check_config if kind == "pretraining" else check_pose_config
    target = {} if kind == "pretraining" else {"target": "eanet"}
    config = check({**target, **MINIMAL, "training": None, "schedule": None})
    assert config.training.precision == "auto" and config.schedule.iterations is None
    assert config.data.fraction == 1.0 and config.data.fraction_seed == 0


@pytest.mark.parametrize(
    "place",
    [
        "data", "data.augmentation", "data.neutral_ends", "backbone", "heads", "objective",
        "objective.ramp", "optimizer", "schedule", "training",
    ],
)  # fmt: skip
def test_a_misspelt_key_is_refused_before_anything_is_built(tmp_path, place):
    config = {name: dict(section) for name, section in MINIMAL.items()}
    section = config
    for name in place.split("."):
        section = section.setdefault(name, {})
    section["misspelt"] = 1
    with pytest.raises(ValueError, match=f"Unknown key {place}.misspelt.* Known: "):
        build_runner(out=tmp_path / "run", **config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("data.train_split", "trian", "'train', 'val' or 'test'.* mean 'train'"),
        ("data.val_split", "x", "or None"),
        ("data.fraction", 0.0, "above 0"),
        ("data.fraction", 1.5, "at most 1"),
        ("data.batch_size", 0, "above 0"),
        ("data.val_images", 0, "above 0"),
        ("data.workers", -1, "at least 0"),
        ("data.workers", 1.5, "an integer"),
        ("data.workers", "3", "an integer"),
        ("data.subjects", 5, "a list"),
        ("data.overfit", "yes", "true or false"),
        ("data.augmentation.flip", 2, "at most 1"),
        ("data.label_variant", "shufled", "mean 'shuffled'"),
        ("data.box_source", "joints", "'annotation' or 'rootnet'"),
        ("data.neutral_ends.fraction", 0.5, "below 0.5"),
        ("backbone.init", 3, "a string"),
        ("objective.ramp.every_epochs", 0, "above 0"),
        ("optimizer.lr", -1.0, "at least 0"),
        ("optimizer.lr", None, "a number"),
        ("optimizer.betas", (0.9,), "required"),
        ("schedule.iterations", 0, "above 0"),
        ("schedule.iterations", 2.5, "an integer"),
        ("schedule.iterations", float("inf"), "finite"),
        ("schedule.epochs", "x", "a number"),  # ended in a TypeError of the comparison
        ("training.precision", "bf61", "mean 'bf16'"),
        ("training.threads", 0, "above 0"),
        ("training.log_every", 0, "above 0"),
        ("seed", 0.5, "an integer"),
    ],
)
def test_an_impossible_value_is_named_with_what_is_allowed(key, value, said):
    config = {name: dict(section) for name, section in MINIMAL.items()}
    *parents, last = key.split(".")
    section = config
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = value
    with pytest.raises(ValueError) as caught:
        check_config(config)
    message = str(caught.value)
    assert message.startswith(key) and "\n" not in message
    with pytest.raises(ValueError, match=said):
        raise caught.value


def test_options_that_exclude_each_other_are_named():
    for training, said in (
        ({"sync_bn": True, "freeze_bn": True}, "training: sync_bn and freeze_bn"),
        ({"deterministic": True, "cudnn_benchmark": True}, "training: cudnn_benchmark"),
    ):
        with pytest.raises(ValueError, match=said):
            check_config({**MINIMAL, "training": training})
