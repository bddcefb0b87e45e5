"""Data of one's own: right hands with 3D joints and no MANO fits, see docs/data.md."""

import json
import math

import pytest
from pose_run import OPEN_HAND

from adapters.pose.prediction import predict_split
from adapters.pose.training import build_pose_runner
from gesture_pretrain import evaluate_predictions
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.supervision import count_supervision
from gesture_pretrain.report.score_table import ScoreTable
from gesture_pretrain.synthetic.build import write_synthetic

FOLDERS = ("0016_fist", "0027_five_count", "0007_thumbup_normal", "0012_aokay_upright")


@pytest.fixture(scope="module")
def right_hands(tmp_path_factory):
    """Index of rendered right hands without fits."""
    root = tmp_path_factory.mktemp("own") / "data"
    write_synthetic(
        root,
        images_per_split={"train": 8, "val": 4},
        size_px=64,
        subjects={"train": 1, "val": 1},
        workers=0,
        gestures=list(FOLDERS),
        progress=False,
    )
    for fits in root.glob("annotations/*/*MANO_NeuralAnnot.json"):
        fits.unlink()
    return build_interhand_index(root, progress=False, data_name="right hands")


def train(index, out, target, **data):
    run = build_pose_runner(
        out=out,
        target=target,
        data={"index": str(index), "batch_size": 8, "workers": 0, **data},
        backbone={"arch": "test_resnet", "size_px": 64},
        model={"size": "tiny"},
        hand_model=OPEN_HAND,
        optimizer={"lr": 3e-3},
        schedule={"iterations": 80, "warmup_iterations": 5},
        training={"log_every": 40, "threads": 1, "clip_norm": 1.0},
        device="cpu",
        progress=False,
    )
    run.train()
    return run


@pytest.mark.parametrize("target", ["token_fusion", "eanet"])
def test_both_targets_learn_from_joints_alone(right_hands, tmp_path, target, capsys):
    run = train(right_hands, tmp_path / "run", target, overfit=True)
    printed = capsys.readouterr().out
    assert "Of 8 hands 8 have 3D joints, 0 a MANO fit and 8 a camera." in printed
    assert "did not learn" not in printed
    assert run.data.summary["supervision"]["fits"] == 0
    metrics = run.runner.last_metrics
    assert metrics["mpjpe_mm"] < 0.6 * metrics["mean_pose_mpjpe_mm"]
    index = HandIndex.open(right_hands)
    found = predict_split(
        run.model, run.dataset(index.select(split="val")), system="ours", progress=False
    )
    file = found.save(tmp_path / "val.npz")
    scored = evaluate_predictions(
        [file], data=right_hands, out=tmp_path / "report", mano="open", split="val"
    )
    table = ScoreTable(scored.scores, scored.refused, scored.facts, scored.mean_pose_mm)
    assert "ours: right hand, 21 joints" in table.to_text() and "NaN" not in table.to_text()
    assert all(math.isfinite(score.averages.mpjpe_mm["all"]) for score in scored.scores)
    assert "no hand has one" in scored.refused["ours"]["freihand"]


def test_data_that_would_train_nothing_are_refused(right_hands, tmp_path):
    root = HandIndex.open(right_hands).root
    for split in ("train", "val"):
        file = root / "annotations" / split / f"InterHand2.6M_{split}_joint_3d.json"
        content = json.loads(file.read_text())
        for frames in content.values():
            for frame in frames.values():
                frame["joint_valid"] = [[False]] * 42
        (tmp_path / file.name).write_text(json.dumps(content))
    annotations = tmp_path / "annotations"
    for split in ("train", "val"):
        (annotations / split).mkdir(parents=True)
        for file in (root / "annotations" / split).iterdir():
            changed = tmp_path / file.name
            (annotations / split / file.name).symlink_to(changed if changed.exists() else file)
    index = build_interhand_index(
        root, tmp_path / "index", progress=False, annotations=annotations, data_name="no joints"
    )
    opened = HandIndex.open(index)
    assert count_supervision(opened, opened.select(split="train")).joints == 0
    with pytest.raises(DataError, match="0 have 3D joints, 0 a MANO fit"):
        train(index, tmp_path / "run", "token_fusion")
