"""Config files: found by name or path; one of another kind is answered with what reads it."""

from pathlib import Path

import pytest
from tool_module import load_tool, refused_by

from gesture_pretrain.commands.main import run_commands
from gesture_pretrain.config.file import read_config
from gesture_pretrain.config.kind import KINDS, WrongKind, kind_of, require_kind, shipped_configs

REPO_ROOT = Path(__file__).parents[2]
CONFIGS = [(path, kind) for kind in KINDS for path in shipped_configs(kind).values()]


@pytest.mark.parametrize(("path", "kind"), CONFIGS, ids=lambda value: Path(value).stem)
def test_every_shipped_config_is_known_by_its_sections(path, kind):
    config = read_config(path, kind=kind)
    assert kind_of(config) == kind
    assert read_config(path.stem, kind=kind) == config
    for other in KINDS:
        if other != kind:
            with pytest.raises(WrongKind, match=f"belongs to configs/{kind}"):
                read_config(path, kind=other)


def test_sections_of_several_kinds_or_of_none_say_nothing():
    assert kind_of(["data", "optimizer"]) is None
    assert kind_of(["target", "heads"]) is None
    require_kind("part.py", ["data", "optimizer"], "pose")


@pytest.mark.parametrize(
    ("command", "config", "arguments", "reader"),
    [
        ("pretrain", "pose/token_fusion_tiny_synthetic", [], "pose train"),
        ("pose train", "pretrain/folders", ["target=token_fusion"], "pretrain"),
        ("pose train", "experiments/demo", [], "transfer"),
        ("transfer", "pose/eanet_tiny_synthetic", ["status"], "pose train"),
    ],
)
def test_the_commands_say_which_one_reads_it(command, config, arguments, reader, capsys):
    for given in (str(REPO_ROOT / "configs" / f"{config}.py"), config.split("/")[1]):
        assert run_commands([*command.split(), given, *arguments]) == 1
        said = capsys.readouterr().err
        assert f"gesture-pretrain {reader}\n" in said and "Traceback" not in said


def test_a_config_of_swap_backbone_is_one_of_train(tmp_path):
    path = REPO_ROOT / "configs" / "pretrain" / "folders.py"
    place = ["--data", tmp_path, "--baseline", "random", "--out", tmp_path / "out"]
    given = ["--target", "eanet", "--backbone", "any.name", "--config", path, *place]
    said = refused_by(load_tool("swap_backbone"), given)
    assert "belongs to configs/pretrain" in said


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        # mmengine's errors, a traceback each, named no file
        ("torn.py", "seed = (", "torn.py cannot be read: .*never closed"),
        ("word.py", "seed = nothing_of_this_name", "word.py cannot be read: .*nothing_of_this"),
        ("notes.txt", "hello", r"notes.txt is not a config.* ends in .py"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        read_config(tmp_path / name, kind="pretrain")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("resnet5_interhand", "Did you mean 'resnet50_interhand'"),
        ("nothing_like_it", "folders, "),
        ("configs/pretrain/nope.py", "hrnet_w18_interhand"),
    ],
)
def test_a_missing_config_is_answered_with_those_that_ship(source, said):
    with pytest.raises(FileNotFoundError, match=said):
        read_config(source, kind="pretrain")
