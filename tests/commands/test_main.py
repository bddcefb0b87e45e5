"""The command line: overview, unknown commands, missing extras, and the scripts beside it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_pose_model import store_random_pose_model
from tiny_run import write_tiny_index
from tool_module import load_tool
from toy_pose import register_toy, toy_plan

from gesture_pretrain.commands import failure
from gesture_pretrain.commands.main import COMMANDS, run_commands

TINY = [
    "backbone.arch=test_resnet",
    "backbone.size_px=32",
    "data.batch_size=8",
    "data.workers=0",
    "schedule.iterations=2",
    "training.threads=1",
]


def test_the_overview_lists_every_command(capsys):
    assert run_commands(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown and command.summary in shown for name, command in COMMANDS.items())
    assert run_commands(["data"]) == 2
    shown = capsys.readouterr().out
    assert "data shards" in shown and "pose train" not in shown


@pytest.mark.parametrize("words", [["pretrian"], ["data", "shard"]])
def test_an_unknown_command_is_answered_with_a_near_one(words, capsys):
    assert run_commands(words) == 2
    assert "Did you mean" in capsys.readouterr().err


def test_a_missing_package_names_its_extra(capsys):
    error = ModuleNotFoundError("No module named 'smplx'", name="smplx")
    assert failure.exit_status_of(error, None) == 1
    assert "gesture-pretrain[mano]" in capsys.readouterr().err


def test_a_defect_is_not_reported_as_wrong_input():
    with pytest.raises(ZeroDivisionError):
        failure.exit_status_of(ZeroDivisionError("ours"), None)


def start(repo_root, home, *words) -> None:
    command = [sys.executable, *map(str, words)]
    environment = {**os.environ, "GESTURE_PRETRAIN_HOME": str(home)}
    done = subprocess.run(command, cwd=repo_root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_script_and_command_pretrain_to_the_same_weights(repo_root, tmp_path):
    index = write_tiny_index(tmp_path / "data")
    config = "hrnet_tiny_synthetic_demo"
    for name, words in (
        ("script", ["tools/pretrain_backbone.py", f"configs/pretrain/{config}.py"]),
        ("command", ["-m", "gesture_pretrain", "pretrain", config]),
    ):
        place = ["--data", index, "--out", tmp_path / name, "--device", "cpu"]
        start(repo_root, tmp_path / f"home_{name}", *words, *place, *TINY)
    stored = [
        next((tmp_path / f"home_{name}").glob("test_resnet.*/model.safetensors"))
        for name in ("script", "command")
    ]
    assert stored[0].read_bytes() == stored[1].read_bytes()


def both_ways(name: str, script: str, words: Sequence[object], out: Path) -> tuple[Path, Path]:
    """Folders `--out` of the script and of the command, called with the same words."""
    given = [str(word) for word in words]
    assert load_tool(script).run([*given, "--out", str(out / "script")]) == 0
    assert run_commands([*name.split(), *given, "--out", str(out / "command")]) == 0
    return out / "script", out / "command"


def test_script_and_command_predict_the_same(tmp_path):
    model = store_random_pose_model(tmp_path / "model", taxonomy=None)
    image = tmp_path / "hand.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)).save(image)
    words = [image, "--model", model, "--whole-image", "--hand", "right", "--device", "cpu"]
    folders = both_ways("predict", "predict", [*words, "--no-overlays", "--mesh", "none"], tmp_path)
    found = [json.loads((folder / "predictions.json").read_text())["images"] for folder in folders]
    assert found[0] == found[1] and found[0][0]["hands"]


def bits(study: Path) -> dict[str, bytes]:
    """Weights, predictions and statistics of a transfer study by their place in it."""
    names = ("model.safetensors", "predictions.npz", "comparisons.json")
    files = [path for name in names for path in study.rglob(name)]
    assert {"predictions.npz", "comparisons.json"} <= {path.name for path in files}
    return {str(path.relative_to(study)): path.read_bytes() for path in files}


def test_script_and_command_swap_to_the_same_bits(swap_index, registered, tmp_path):
    words = ["--target", "eanet", "--size", "tiny", "--backbone", registered.name]
    words += ["--baseline", "random", "--data", swap_index, "--steps", "2", "training.threads=1"]
    words += ["data.batch_size=4", "data.workers=0", "data.val_images=4", "test.images=4"]
    script, command = both_ways("swap", "swap_backbone", words, tmp_path)
    assert bits(script) == bits(command)


def test_script_and_command_transfer_to_the_same_bits(swap_index, tmp_path):
    register_toy()
    values = toy_plan(swap_index, seeds=[0])
    del values["arms"]["shuffled"], values["comparisons"][1]
    plan = tmp_path / "toy.py"
    plan.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    for action in ("run", "report"):
        script, command = both_ways("transfer", "transfer_experiment", [plan, action], tmp_path)
    assert bits(script) == bits(command)
