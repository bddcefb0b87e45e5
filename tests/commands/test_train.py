"""The tool itself: from a config to a run folder with network and predictions, and its messages."""

import json
from pathlib import Path

import pytest
import torch
from pose_run import write_pose_index
from tool_module import load_tool

from adapters.pose.checkpoint import load_pose_model
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights.export import export_backbone

REPO_ROOT = Path(__file__).parents[2]

CONFIG = str(REPO_ROOT / "configs" / "pose" / "token_fusion_tiny_synthetic.py")
TINY = [
    "data.batch_size=8",
    "data.workers=0",
    "schedule.iterations=3",
    "training.threads=1",
    "training.channels_last=false",
]
RANDOM = ["backbone.arch=test_resnet", "backbone.size_px=64"]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    return write_pose_index(tmp_path_factory.mktemp("train_tool") / "data")


@pytest.fixture
def run(tmp_path, index, monkeypatch):
    """Calls the tool with the tiny settings; returns its exit status."""
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    tool = load_tool("train")

    def call(*arguments: str, data: Path = index, out: str = "run", start=RANDOM) -> int:
        place = ["--data", str(data), "--out", str(tmp_path / out), "--device", "cpu"]
        return tool.run([CONFIG, *place, *TINY, *start, *arguments])

    return call


def test_run_folder_has_network_ledger_and_predictions(run, tmp_path, index, capsys):
    assert run("--name", "first", "--predict", "test", "--predict", "val") == 0
    printed = capsys.readouterr().out
    assert "swap: test_resnet (random) into token_fusion" in printed and "Stored" in printed
    out = tmp_path / "run"
    assert {p.name for p in out.iterdir()} >= {
        "checkpoints",
        "config.py",
        "ledger.json",
        "metrics.jsonl",
        "model",
        "predictions_test.npz",
        "run.json",
    }
    record = json.loads((out / "run.json").read_text())
    assert record["name"] == "first"
    assert {"command", "commit", "diff", "seed", "device", "versions"} <= record["starts"][0].keys()
    predictions = PosePredictions.load(out / "predictions_test.npz")
    data = HandIndex.open(index)
    predictions.require_index(data)
    assert predictions.rows.tolist() == data.select(split="test").tolist()
    assert predictions.system == "first" and predictions.provenance["split"] == "test"
    assert predictions.box_source == "annotation"
    stored = load_pose_model(out / "model")
    assert stored.card.config["schedule"]["iterations"] == 3 and stored.card.size_px == 64


@pytest.mark.parametrize("target", ["token_fusion", "eanet"])
def test_predictions_from_detected_boxes_whatever_the_target(run, tmp_path, target):
    extra = ["target=eanet", "model={'size': 'tiny'}"] if target == "eanet" else []
    assert run(*extra, "--predict", "val", "--box-source", "rootnet") == 0
    detected = PosePredictions.load(tmp_path / "run" / "predictions_val.npz")
    assert detected.box_source == "rootnet" and len(detected) == 16


def test_boxes_that_are_not_there_are_refused_before_the_training(run, tmp_path, capsys):
    for name, said in [("train", "no box from rootnet"), ("test", "possible: annotation, rootnet")]:
        boxes = "rootnet" if name == "train" else "yolo"
        assert run("--predict", name, "--box-source", boxes, out=name) == 1
        assert said in capsys.readouterr().err
        assert not list((tmp_path / name).glob("checkpoints/*"))
    assert run("--box-source", "rootnet") == 1
    assert "--predict SPLIT" in capsys.readouterr().err


def test_finished_run_resumes_and_a_changed_setting_is_said(run, tmp_path, capsys):
    assert run() == 0
    ledger = json.loads((tmp_path / "run" / "ledger.json").read_text())
    assert ledger["fingerprints"]["after_first_step"] is not None
    assert run("--resume", "schedule.iterations=4") == 0
    assert "schedule.iterations 3 -> 4" in capsys.readouterr().out
    again = json.loads((tmp_path / "run" / "ledger.json").read_text())
    assert again["fingerprints"] == ledger["fingerprints"]  # the first step was in the first start


def test_backbone_by_name_replaces_the_configs_own(run, tmp_path, capsys):
    stored = export_backbone(build_backbone("test_resnet", size_px=64), tag="tiny")
    assert run("--backbone", stored.name, "backbone.size_px=none", start=[]) == 1
    assert "no gesture heads" in capsys.readouterr().err
    start = ["--backbone", stored.name, "backbone.size_px=none", "model.guidance=none"]
    assert run(*start, start=[]) == 0
    ledger = json.loads((tmp_path / "run" / "ledger.json").read_text())
    assert ledger["backbone_name"] == "test_resnet.tiny"
    assert load_pose_model(tmp_path / "run" / "model").card.backbone_name == "test_resnet.tiny"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["optimizer.rate=1"], "Unknown key optimizer.rate"),
        (["target=eanett"], "unknown target 'eanett'"),
        (["backbone.arch=hrnet_w19"], "hrnet_w18"),
        (["--backbone", "test_resnet.none"], "test_resnet.none"),
        (["model.guidance=all"], "both"),
        (["model.widht=3"], "widht"),
        (["hand_model.path=/nowhere/MANO_RIGHT.pkl"], "nowhere"),
    ],
)
def test_wrong_input_is_one_message_and_status_1(run, capsys, arguments, said):
    status = run(*arguments)
    printed = capsys.readouterr()
    assert status == 1 and said in printed.err and "Traceback" not in printed.err


def test_missing_data_and_used_folder_are_one_message(run, tmp_path, capsys):
    assert run(data=tmp_path / "nowhere") == 1
    assert "nowhere does not exist" in capsys.readouterr().err
    assert run() == 0
    assert run() == 1
    assert "--resume" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA where there is none")
def test_cuda_asked_and_absent_is_one_message(run, capsys):
    assert run("--device", "cuda") == 1
    assert "no CUDA device" in capsys.readouterr().err
