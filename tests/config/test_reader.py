"""A config given to the wrong tool is answered with the name of the right one."""

import runpy
from pathlib import Path

import pytest
from gesture_pretrain.config.reader import require_reader, tool_of

from gesture_pretrain.config.file import read_config

REPO_ROOT = Path(__file__).parents[2]
READERS = {
    "pretrain": "tools/pretrain_backbone.py",
    "pose": "tools/train.py",
    "experiments": "tools/transfer_experiment.py",
}
CONFIGS = [
    (path, READERS[folder])
    for folder in READERS
    for path in sorted((REPO_ROOT / "configs" / folder).glob("*.py"))
]


@pytest.mark.parametrize(("path", "reader"), CONFIGS, ids=lambda value: Path(value).stem)
def test_every_shipped_config_is_known_by_its_sections(path, reader):
    config = read_config(path, check=lambda _: None, tool=reader)
    assert tool_of(config) == reader
    for other in READERS.values():
        if other != reader:
            with pytest.raises(ValueError, match=f"{path} is a config of {reader}; {other} takes"):
                read_config(path, check=lambda _: None, tool=other)


def test_sections_of_several_kinds_or_of_none_say_nothing():
    assert tool_of(["data", "optimizer"]) is None
    assert tool_of(["target", "heads"]) is None
    require_reader("part.py", ["data", "optimizer"], "tools/train.py")


@pytest.mark.parametrize(
    ("tool", "config", "arguments"),
    [
        ("pretrain_backbone", "pose/token_fusion_tiny_synthetic", []),
        ("train", "pretrain/folders", ["target=token_fusion"]),
        ("train", "experiments/demo", []),
        ("transfer_experiment", "pose/eanet_tiny_synthetic", ["status"]),
    ],
)
def test_the_tools_say_which_one_reads_it(tool, config, arguments, capsys):
    run = runpy.run_path(str(REPO_ROOT / "tools" / f"{tool}.py"))["run"]
    path = REPO_ROOT / "configs" / f"{config}.py"
    assert run([str(path), *arguments]) == 1
    right = READERS[config.split("/")[0]]
    said = capsys.readouterr().err
    assert f"is a config of {right}; tools/{tool}.py takes those of" in said
    assert "Traceback" not in said


def test_a_config_of_swap_backbone_is_one_of_train(capsys, tmp_path):
    run = runpy.run_path(str(REPO_ROOT / "tools" / "swap_backbone.py"))["run"]
    path = REPO_ROOT / "configs" / "pretrain" / "folders.py"
    place = ["--data", str(tmp_path), "--baseline", "random", "--out", str(tmp_path / "out")]
    given = ["--target", "eanet", "--backbone", "any.name", "--config", str(path), *place]
    assert run(given) == 1
    assert "is a config of tools/pretrain_backbone.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        # mmengine's errors, a traceback each, named no file
        ("torn.py", "seed = (", "torn.py cannot be read: .*never closed"),
        ("word.py", "seed = nothing_of_this_name", "word.py cannot be read: .*nothing_of_this"),
        ("notes.txt", "hello", r"notes.txt is no config: .* ends in .py"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        read_config(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        # a bare name was answered with "In that folder: setup.py."
        ("resnet50_interhand", r"Did you mean configs/pretrain/resnet50_interhand\.py\?"),
        ("nothing_like_it", r"are in configs/pretrain, configs/pose, configs/experiments\.$"),
        ("configs/pretrain/nope.py", r"In that folder: configs/pretrain/folders\.py, "),
    ],
)
def test_a_missing_config_is_answered_with_where_configs_are(monkeypatch, path, said):
    monkeypatch.chdir(REPO_ROOT)
    with pytest.raises(FileNotFoundError, match=said):
        read_config(path)
