"""The target of docs/targets.md, installed as a package: dry run, training, prediction, scores."""

import json
import re
import sys

import pytest
from pose_run import write_pose_index
from tool_module import load_tool

from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights.export import export_backbone
from tools.swap_backbone import run as swap_backbone


@pytest.fixture
def installed(repo_root, tmp_path, monkeypatch):
    """The code blocks of the document as an installer would put them on the path."""
    text = (repo_root / "docs" / "targets.md").read_text()
    code, project = (
        re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1] for kind in ("python", "toml")
    )
    site = tmp_path / "site"
    info = site / "linear_joints-0.1.dist-info"
    info.mkdir(parents=True)
    (site / "linear_joints.py").write_text(code)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: linear-joints\nVersion: 0.1\n")
    group, name, value = re.search(
        r'entry-points\."([\w.]+)"\]\n(\w+) = "([\w:]+)"', project
    ).groups()
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(str(site))
    yield name
    sys.modules.pop("linear_joints", None)


def test_the_documented_target_runs_from_dry_run_to_scores(
    installed, repo_root, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    export_backbone(build_backbone("test_resnet", size_px=32), tag="tiny")
    index = write_pose_index(tmp_path / "data")
    swap = ["--target", installed, "--backbone", "test_resnet.tiny", "--dry-run"]
    assert swap_backbone(swap) == 0
    assert "into linear_joints" in capsys.readouterr().out
    config = repo_root / "configs" / "pose" / "token_fusion_tiny_synthetic.py"
    options = ["data.batch_size=8", "data.workers=0", "schedule.iterations=3"]
    options += ["training.threads=1", "model.scale_mm=80", "backbone.name=test_resnet.tiny"]
    where = ["--data", str(index), "--out", str(tmp_path / "run"), "--device", "cpu"]
    command = [str(config), *where, f"target={installed}", *options, "backbone.arch=none"]
    assert load_tool("train").run([*command, "--predict", "test"]) == 0
    predictions = tmp_path / "run" / "predictions_test.npz"
    assert PosePredictions.load(predictions).vertices_rel_mm is None
    where = ["--data", str(index), "--mano", "open", "--out", str(tmp_path / "report")]
    assert load_tool("evaluate").run(["predictions", str(predictions), *where]) == 0
    content = json.loads((tmp_path / "report" / "scores.json").read_text())
    (scores,) = content["systems"].values()
    assert scores["interhand_wrist"]["joints"]["all"] == "right hand, 21 joints"
    assert content["mean_pose_mm"]["interhand_wrist"] > 0
