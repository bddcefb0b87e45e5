"""Every InterHand2.6M config, plan and README command, on data with the shape of the release.

The files and commands are found, not listed: a new one is tested by being there.
"""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from miniature_runs import (
    ARCH,
    SMALL_POSE,
    SMALL_PRETRAINING,
    register_gesture_backbone,
    small_plan,
)
from mmengine.config import Config
from tool_module import load_tool

from gesture_pretrain.commands.main import run_commands
from gesture_pretrain.data.index.record import HANDS
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.registry import find_backbone

REPO_ROOT = Path(__file__).parents[2]
CONFIGS = REPO_ROOT / "configs"


def files_about_interhand(folder: str) -> list[Path]:
    """The configs whose data are InterHand2.6M."""
    paths = sorted((CONFIGS / folder).glob("*.py"))
    found = [p for p in paths if "interhand26m/index" in str(Config.fromfile(p).data.get("index"))]
    assert found
    return found


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "home"


def run_tool(name: str, *arguments) -> int:
    """Exit status of a tool that reports errors through `run`."""
    return load_tool(name).run([str(argument) for argument in arguments])


@pytest.mark.parametrize("path", files_about_interhand("pretrain"), ids=lambda path: path.stem)
def test_pretraining_config_trains_validates_and_registers(path, miniature, home, tmp_path, capsys):
    place = ["--data", miniature, "--out", tmp_path / "run", "--device", "cpu"]
    assert run_tool("pretrain_backbone", path, *place, *SMALL_PRETRAINING) == 0
    printed = capsys.readouterr().out
    assert re.search(r"Validation\. .*subject \d+ of split 'train', held out of training", printed)
    record = find_backbone(f"{ARCH}.{Config.fromfile(path).tag}").record
    assert record.data.details["validated_on"]["subjects"] and record.data.synthetic
    assert "val_coarse_top1" in record.metrics


@pytest.mark.parametrize("path", files_about_interhand("pose"), ids=lambda path: path.stem)
def test_pose_config_trains_and_predicts(path, miniature, home, tmp_path, capsys):
    place = ["--data", miniature, "--out", tmp_path / "run", "--device", "cpu"]
    config = Config.fromfile(path)
    start = [f"backbone.arch={ARCH}", "backbone.init=random"]
    if "name" in config.backbone:
        tag = config.backbone["name"].partition(".")[2]
        start = [f"backbone.name={register_gesture_backbone(tag)}"]
    if config.target == "eanet":
        start.append("model.allow_projection=true")
    detected = ["--predict", "test", "--box-source", "rootnet"]
    assert run_tool("train", path, *place, *SMALL_POSE, *start, *detected) == 0
    assert "of split 'val'." in capsys.readouterr().out
    assert (tmp_path / "run" / "predictions_test.npz").is_file()


@pytest.mark.parametrize("path", files_about_interhand("experiments"), ids=lambda path: path.stem)
def test_plan_plans_and_audits(path, miniature, home, tmp_path, capsys):
    overrides = small_plan(Config.fromfile(path).to_dict())
    place = ["--data", miniature, "--out", tmp_path / "out", "--dry-run"]
    assert run_tool("transfer_experiment", path, "run", *place, *overrides) == 0
    printed = capsys.readouterr().out
    assert "pretraining" in printed and "0 test images are trained on" in printed


def readme_commands(title: str) -> list[list[str]]:
    """The commands of a section of README, without comments."""
    section = (REPO_ROOT / "README.md").read_text().split(f"## {title}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("gesture-pretrain ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_readme_commands_run_one_after_the_other(miniature, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "INTERHAND").symlink_to(miniature)
    small = {"hrnet_w32.gesture_interhand26m": f"{ARCH}.gesture_interhand26m"}
    added = {
        "pretrain": ["--device", "cpu", *SMALL_PRETRAINING],
        "features": ["--device", "cpu", "--workers", "0", "--max-train", "60", "--k", "3"],
    }
    done = []
    for words in readme_commands("On your data"):
        if words[0] == "doctor":  # only reports on the machine
            continue
        arguments = [small.get(word, word) for word in words] + added.get(words[0], [])
        assert run_commands(arguments) == 0, words
        done.append(words[0])
    assert {"data", "pretrain", "features"} <= set(done)


SWAP = ["--size", "tiny", "--allow-projection", "--mano", "open"]
SWAP_RUN = ["data.batch_size=4", "data.workers=0", "training.threads=1", "test.images=8"]
INTO_NETWORKS = {  # by the words that a command contains: what makes it small
    "--list": [],
    "--baseline": [*SWAP, *SWAP_RUN],
    "swap": SWAP,
    "train": [*SMALL_POSE, "--out", "runs/mine", "--device", "cpu", "model.guidance=none"],
    "evaluate": ["--mano", "open"],
    "predict": ["--hand", "right", "--device", "cpu"],
    "landmarks": ["--count", "6"],
    "export": [],
}


def write_what_the_commands_read(miniature: Path) -> None:
    """The files that README takes as given, in the working folder."""
    image = next(miniature.glob("images/test/**/*.jpg"))
    Path("photos").mkdir()
    shutil.copy(image, "photos/hand.jpg")
    Path("boxes.csv").write_text("image,x,y,width,height\nhand.jpg,5,5,30,30\n")


def write_another_system() -> None:
    """The predictions that were just written, as those of another system."""
    ours = PosePredictions.load("runs/mine/predictions_test.npz")
    arrays = {"joints": ours.joints_rel_mm, "row": ours.rows, "hand": np.array(HANDS)[ours.hand]}
    np.savez("hamer.npz", **arrays, joint_order="mano21", unit="mm")


@pytest.mark.slow  # a minute
def test_readme_commands_with_other_networks_run(miniature, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "INTERHAND").symlink_to(miniature)
    write_what_the_commands_read(miniature)
    gesture = register_gesture_backbone("gesture_interhand26m")
    resnet = export_backbone(build_backbone("resnet50", size_px=64), tag="x").name
    plan = small_plan(Config.fromfile(CONFIGS / "experiments" / "table2.py").to_dict())
    added = {**INTO_NETWORKS, "transfer": ["--dry-run", *plan]}
    commands = readme_commands("Into other networks")
    assert {word for words in commands for word in words} > set(added)
    for words in commands:
        name = resnet if "export" in words else gesture
        small = {"NAME": name, "1000": "2"}
        more = next(options for word, options in added.items() if word in words)
        assert run_commands([small.get(word, word) for word in words] + more) == 0, words
        if "train" in words:
            write_another_system()
