"""The tool itself: a run from config to registry, and its messages for wrong input."""

import json
from pathlib import Path

import pytest
import torch
from tiny_run import write_tiny_index
from tool_module import load_tool

from gesture_pretrain import list_backbones, load_backbone

REPO_ROOT = Path(__file__).parents[2]

CONFIG = str(REPO_ROOT / "configs" / "pretrain" / "hrnet_tiny_synthetic_demo.py")
TINY = [
    "backbone.arch=test_resnet",
    "backbone.size_px=32",
    "data.batch_size=8",
    "data.workers=0",
    "schedule.epochs=1",
    "training.threads=1",
]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    return write_tiny_index(tmp_path_factory.mktemp("tool") / "data")


@pytest.fixture
def run(tmp_path, index, monkeypatch):
    """Calls the tool with the tiny settings; returns its exit status."""
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    tool = load_tool("pretrain_backbone")

    def call(*arguments: str, data: Path = index, out: str = "run") -> int:
        place = ["--data", str(data), "--out", str(tmp_path / out), "--device", "cpu"]
        return tool.run([CONFIG, *place, *TINY, *arguments])

    return call


def test_run_folder_tells_its_story_and_the_weights_load_by_name(run, tmp_path, capsys):
    assert run("--name", "tiny", "data.label_variant=shuffled") == 0
    printed = capsys.readouterr().out
    assert "test_resnet.tiny" in list_backbones() and "Registered test_resnet.tiny" in printed
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {
        "checkpoints",
        "config.py",
        "metrics.jsonl",
        "run.json",
        "tensorboard",
    }
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["name"] == "test_resnet.tiny"
    assert {"command", "commit", "diff", "seed", "device", "versions"} <= record["starts"][0].keys()
    card = json.loads((tmp_path / "home" / "test_resnet.tiny" / "card.json").read_text())
    assert card["metrics"]["iterations"] == 6 and "val_coarse_top1" in card["metrics"]
    assert card["config"]["data"]["label_variant"] == "shuffled"
    network = load_backbone("test_resnet.tiny", with_heads=True)
    assert network(torch.zeros(1, 3, 32, 32)).coarse_logits.shape == (1, 54)


def test_finished_run_resumes_and_registers_again(run):
    assert run() == 0
    assert run("--resume") == 0


def test_resume_with_a_changed_setting_says_so(run, tmp_path, capsys):
    assert run() == 0
    assert run("--resume", "schedule.epochs=2") == 0
    assert "schedule.epochs 1 -> 2" in capsys.readouterr().out
    starts = json.loads((tmp_path / "run" / "run.json").read_text())["starts"]
    assert starts[1]["changed_keys"] == ["schedule.epochs 1 -> 2"]


def test_taken_name_is_refused_before_training(run, capsys):
    assert run() == 0
    assert run(out="other") == 1
    error = capsys.readouterr().err
    assert "already" in error and "--name" in error and "--overwrite" in error
    assert run("--overwrite", out="other") == 0


def test_used_run_folder_is_refused(run, capsys):
    assert run() == 0
    assert run() == 1
    assert "--resume" in capsys.readouterr().err


def test_initial_weights_from_a_file_leave_their_ledger(run, tmp_path, capsys):
    assert run("--name", "first") == 0
    weights = tmp_path / "home" / "test_resnet.first" / "model.safetensors"
    assert run("--name", "second", "--init", str(weights), out="second") == 0
    ledger = json.loads((tmp_path / "second" / "initial_weights.json").read_text())
    assert ledger["source"].startswith("test_resnet.first, SHA-256 ")


def test_initial_weights_from_the_registry_by_name(run, tmp_path, capsys):
    assert run("--name", "first") == 0
    assert run("--name", "second", "--init", "test_resnet.first", out="second") == 0
    ledger = json.loads((tmp_path / "second" / "initial_weights.json").read_text())
    assert ledger["source"].startswith("test_resnet.first, SHA-256 ")
    assert ledger["matched_share"] == 1.0 and not ledger["fresh"]
    assert run("--name", "third", "--init", "test_resnet.frist", out="third") == 1
    said = capsys.readouterr().err
    assert "Similar names: test_resnet.first" in said and "a weight file, or the name" in said


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["optimizer.rate=1"], "Unknown key optimizer.rate"),
        (["backbone.arch=hrnet_w19"], "hrnet_w18"),
        (["backbone.size_px=33"], "multiples of 32"),
        (["--init", "nowhere.safetensors"], "nowhere.safetensors"),
        # each of these was a traceback, or said nothing of use
        (["backbone.arch=hrnet_w16_tiny", "--init", "timm"], "timm has no weights for it"),
        (["data.batch_size=0"], "data.batch_size is 0; it must be above 0"),
        (["training.threads=0"], "training.threads is 0; it must be above 0"),
        (["training.clip_norm=-1"], "training.clip_norm is -1; it must be above 0"),
    ],
)
def test_wrong_input_is_one_message_and_status_1(run, capsys, arguments, said):
    status = run(*arguments)
    printed = capsys.readouterr()
    assert status == 1 and said in printed.err and "Traceback" not in printed.err


def test_a_file_where_the_run_folder_should_be_is_one_message(run, tmp_path, capsys):
    # NotADirectoryError was a traceback
    (tmp_path / "file").write_text("")
    assert run(out="file") == 1
    printed = capsys.readouterr().err
    assert "file" in printed and "Traceback" not in printed


def test_a_resumed_run_cannot_end_before_its_checkpoint(run, tmp_path, capsys):
    # "iteration 54 of 18" was registered again, under a config that it had not been trained with
    assert run("schedule.iterations=2", "schedule.epochs=1") == 0
    assert run("--resume", "schedule.iterations=1") == 1
    assert "beyond the end of the schedule, 1 iterations" in capsys.readouterr().err


def test_missing_data_is_one_message(run, tmp_path, capsys):
    assert run(data=tmp_path / "nowhere") == 1
    assert "nowhere does not exist" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA where there is none")
def test_cuda_asked_and_absent_is_one_message(run, capsys):
    assert run("--device", "cuda") == 1
    assert "no CUDA device" in capsys.readouterr().err


def test_a_registry_that_cannot_be_written_is_found_before_training(
    run, tmp_path, monkeypatch, capsys
):
    """It was found at the end, after all hours of training."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "file"))
    assert run("--name", "tiny") == 1
    said = capsys.readouterr()
    assert "cannot be written" in said.err and "Set GESTURE_PRETRAIN_HOME" in said.err
    assert "epoch 1" not in said.out and not (tmp_path / "run" / "checkpoints").exists()
