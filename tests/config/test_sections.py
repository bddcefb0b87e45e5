from dataclasses import dataclass

import pytest

from gesture_pretrain.config.sections import build_from_section, check_section
from gesture_pretrain.pretraining.data import build_gesture_data
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.training.schedule import Schedule
from gesture_pretrain.weights.starting_backbone import build_starting_backbone


@dataclass
class Part:
    given: int
    needed: int
    size: int = 3


def test_defaults_come_from_the_signature():
    assert build_from_section("part", Part, {"needed": 2}, given=1) == Part(1, 2, 3)


def test_unknown_key_is_named_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"Unknown key part.sise. Known keys of part: needed, size"
    ):
        build_from_section("part", Part, {"needed": 2, "sise": 4}, given=1)


def test_section_may_not_set_what_code_gives():
    with pytest.raises(ValueError, match="part.given"):
        build_from_section("part", Part, {"needed": 2, "given": 4}, given=1)


def test_missing_required_key_is_named():
    with pytest.raises(ValueError, match="part.needed is required"):
        build_from_section("part", Part, {}, given=1)


@pytest.mark.parametrize(
    "section", ["data", "backbone", "heads", "objective", "optimizer", "schedule", "training"]
)
def test_every_section_of_a_run_refuses_a_misspelt_key(tmp_path, section):
    sections = {"data": {"index": "nowhere"}, "backbone": {"arch": "test_resnet"}}
    sections[section] = {**sections.get(section, {}), "misspelt": 1}
    with pytest.raises(ValueError, match=f"Unknown key {section}.misspelt. Known keys"):
        build_runner(out=tmp_path / "run", **sections)
    assert not (tmp_path / "run").exists()


def test_nested_sections_refuse_a_misspelt_key(tmp_path, tiny_index):
    backbone = {"arch": "test_resnet"}
    with pytest.raises(ValueError, match=r"objective.ramp.stepp"):
        build_runner(
            out=tmp_path,
            data={"index": "nowhere"},
            backbone=backbone,
            objective={"ramp": {"stepp": 1}},
        )
    data = {"index": str(tiny_index), "augmentation": {"rotation": 1}}
    with pytest.raises(ValueError, match=r"data.augmentation.rotation.*rotation_deg"):
        build_runner(out=tmp_path, data=data, backbone=backbone)


def test_a_word_for_a_number_is_named_before_anything_is_built():
    # schedule.epochs=x ended in a TypeError of the comparison
    with pytest.raises(ValueError, match="schedule.epochs is 'x'; it must be float"):
        check_section("schedule", Schedule, {"epochs": "x"})
    check_section("schedule", Schedule, {"epochs": 2, "iterations": None})


@pytest.mark.parametrize(
    "build, section, said",
    [
        # 2.5 iterations were trained and registered; the others ended in a TypeError
        (Schedule, {"iterations": 2.5}, r"part.iterations is 2.5; it must be None or int"),
        (Schedule, {"iterations": 2e4}, r"is 20000.0; it must be None or int. Write 20000.$"),
        (Schedule, {"iterations": float("inf")}, r"is inf; it must be None or int.$"),
        (build_optimizer, {"lr": None}, r"part.lr is None; it must be float"),
        (build_gesture_data, {"workers": 1.5, "index": "i"}, r"part.workers is 1.5; .* int"),
        (build_gesture_data, {"subjects": 5, "index": "i"}, r"part.subjects is 5; .*Sequence\[int"),
        (
            build_starting_backbone,
            {"arch": "resnet18", "init": 3},
            r"part.init is 3; it must be .*str",
        ),
    ],
)
def test_a_value_of_another_kind_is_named_with_the_kinds_that_fit(build, section, said):
    given = ("size_px", "seed", "model") if build is not build_starting_backbone else ()
    with pytest.raises(ValueError, match=said):
        check_section("part", build, section, given)
