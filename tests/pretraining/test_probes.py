"""Probes during training: their numbers, where they appear, and that they change nothing."""

import io
import json

import numpy as np
import pytest
import torch
from tiny_run import tiny_sections

from gesture_pretrain.evaluation.features.extract import FeatureTable
from gesture_pretrain.pretraining.probes import ProbeHook, probe_scores
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.training.checkpoint import load_newest_checkpoint
from gesture_pretrain.training.hooks import ProgressHook

SCORES = {"val_knn_coarse_top1", "val_probe_joints_mm"}


def table(count: int, seed: int) -> FeatureTable:
    """Features that determine three gestures and, linearly, the joints."""
    rng = np.random.default_rng(seed)
    coarse = np.arange(count) % 3
    features = (10 * np.eye(3)[coarse] + rng.normal(size=(count, 3))).astype(np.float32)
    to_joints = np.random.default_rng(0).normal(size=(3, 63))
    joints = (features @ to_joints).reshape(count, 21, 3).astype(np.float32)
    return FeatureTable(
        features=features,
        coarse=coarse,
        fine=coarse,
        hand=np.zeros(count, np.int64),
        joints_rel_mm=joints - joints[:, :1],
        joint_valid=np.ones((count, 21), bool),
        rows=np.arange(count),
        groups=np.array([f"{seed}/{i}" for i in range(count)]),
        subjects=np.arange(count) % 5,
    )


def test_features_that_determine_gesture_and_joints_score_well():
    scores = probe_scores(table(60, 0), table(30, 1), num_classes=3, neighbours=5)
    assert scores["knn_coarse_top1"] == 1.0 and scores["probe_joints_mm"] < 0.1


def test_scores_need_what_they_are_computed_from():
    train, evaluated = table(60, 0), table(30, 1)
    evaluated.coarse[:] = -1
    train.joint_valid[:] = False
    assert probe_scores(train, evaluated, num_classes=3, neighbours=5) == {}


def trained(out, index, *, probes: bool):
    sections = tiny_sections(index, training={"validate_every": 4, "ema_decay": 0.9})
    if probes:
        sections["probes"] = {"images": 12, "neighbours": 3}
    runner = build_runner(out=out, **sections)
    shown = io.StringIO()
    runner.hooks.append(ProgressHook(batch_size=8, stream=shown))
    runner.train()
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return runner, [line for line in lines if "val_coarse_top1" in line], shown.getvalue()


def test_every_validation_shows_the_scores_and_training_is_the_same(tmp_path, tiny_index, capsys):
    runner, lines, shown = trained(tmp_path / "with", tiny_index, probes=True)
    assert len(lines) == 3 and all(line.keys() >= SCORES for line in lines)
    assert shown.count("knn_coarse") == shown.count("probe_joints") == 3
    assert capsys.readouterr().out.count("probe_joints") == 1  # of the initial weights
    assert {f"val_{name}" for name in runner.last_metrics} >= SCORES
    trained(tmp_path / "without", tiny_index, probes=False)
    weights = [
        load_newest_checkpoint(tmp_path / name / "checkpoints").state["model"]
        for name in ("with", "without")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_first_process_computes_and_shares(monkeypatch, tiny_index, tmp_path):
    runner = build_runner(out=tmp_path, **tiny_sections(tiny_index))
    sets = runner.data.train.dataset, runner.data.validation.dataset
    hook = ProbeHook(*sets, images=12, neighbours=3)
    monkeypatch.setattr("gesture_pretrain.pretraining.probes.rank_and_world_size", lambda: (1, 2))
    shared = [{"knn_coarse_top1": 0.25}, {}]
    monkeypatch.setattr("gesture_pretrain.pretraining.probes.gather_objects", lambda own: shared)
    metrics = {"coarse_top1": 0.5}
    hook.after_val_epoch(runner, metrics)
    assert metrics == {"coarse_top1": 0.5, "knn_coarse_top1": 0.25}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"probes": {"images": 20, "neighbours": 20}}, "neighbours"),
        ({"probes": {"images": 0}}, "images"),
        ({"probes": {"k": 3}}, "Unknown"),
        ({"probes": {}, "data": {"val_split": None}}, "val_split"),
    ],
)
def test_impossible_probes_are_refused(tmp_path, tiny_index, changes, word):
    with pytest.raises(ValueError, match=word):
        build_runner(out=tmp_path, **tiny_sections(tiny_index, **changes))
