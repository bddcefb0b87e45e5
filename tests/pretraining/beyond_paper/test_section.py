"""The config section: unknown keys, impossible combinations, resumption, and the card."""

import json
import shutil

import pytest
import torch
from tiny_run import tiny_sections

from gesture_pretrain.data.samples.hand_crops import CropPlan
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.pretraining.beyond_paper.section import (
    BeyondPaperSection,
    build_beyond_paper,
)
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.pretraining.sections import check_config
from gesture_pretrain.pretraining.stage import pretrain
from gesture_pretrain.training.checkpoint import load_newest_checkpoint
from gesture_pretrain.training.placement import unwrapped
from gesture_pretrain.weights.record import WeightRecord

SMALL = {
    "projector": {"hidden": 16, "channels": 8, "head_hidden": 16},
    "crops": {"local": 1, "local_size_px": 32},
    "contrast": {"hidden": 16, "channels": 8},
    "equivariance": {"hidden": 16, "vectors": 4},
    "dense": {"hidden": 16},
}
TRAINING = {"ema_decay": 0.9, "checkpoint_every": 5, "keep_checkpoints": 4}


@pytest.mark.parametrize(
    ("section", "training", "words"),
    [
        ({"contrst": {}}, {}, "beyond_paper.contrst"),
        ({"contrast": {"temprature": 1.0}}, {}, "beyond_paper.contrast.temprature"),
        ({"projector": {"num_fine": 3}}, {}, "beyond_paper.projector.num_fine"),
        ({"crops": {"local": -1}}, {}, "beyond_paper.crops.local"),
        ({"equivariance": {}}, {}, "two full crops"),
        ({"equivariance": {}, "crops": {"full": 1}}, {}, "two full crops"),
        ({"dense": {}}, {}, "training.ema_decay"),
        ({"contrast": {}}, {"accumulate": 2}, "training.accumulate"),
    ],
)
def test_wrong_keys_and_combinations_are_refused(section, training, words):
    with pytest.raises(ValueError, match=words):
        check_config(
            {"data": {"index": "x"}, "backbone": {"arch": "test_resnet"}, "beyond_paper": section}
            | {"training": training}
        )


@pytest.mark.parametrize(
    ("arch", "local_size_px", "words"),
    [("hrnet_w16_tiny", 40, "multiple of 32"), ("vit_tiny_patch16_224", 32, "accepts 64 px only")],
)
def test_local_crops_that_the_backbone_does_not_accept_are_refused(arch, local_size_px, words):
    section = BeyondPaperSection(crops=CropPlan(local_size_px=local_size_px))
    backbone = build_backbone(arch, size_px=64)
    with pytest.raises(ValueError, match=words):
        build_beyond_paper(section, backbone, num_coarse=3, num_fine=4)


def test_without_options_the_model_is_that_of_the_paper(tiny_index, tmp_path):
    runner = build_runner(out=tmp_path, **tiny_sections(tiny_index, beyond_paper={}))
    assert runner.model.beyond_paper is None and runner.data.train.dataset.crops is None


def test_resumed_run_equals_the_uninterrupted_one(tiny_index, tmp_path):
    """Including the teacher, which is the weight average of the checkpoint."""
    sections = tiny_sections(tiny_index, beyond_paper=SMALL, training=TRAINING)
    build_runner(out=tmp_path / "whole", **sections).train()
    (tmp_path / "resumed" / "checkpoints").mkdir(parents=True)
    for path in (tmp_path / "whole" / "checkpoints").glob("*5.*"):
        shutil.copy(path, tmp_path / "resumed" / "checkpoints")
    resumed = build_runner(out=tmp_path / "resumed", resume=True, **sections)
    resumed.train()
    whole, other = (
        load_newest_checkpoint(tmp_path / name / "checkpoints").state
        for name in ("whole", "resumed")
    )
    assert whole["iteration"] == other["iteration"] == 12
    for part in ("model", "weight_average"):
        one, two = (state[part].get("module", state[part]) for state in (whole, other))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(name.startswith("beyond_paper.dense") for name in whole["model"])
    teacher = unwrapped(resumed.model).beyond_paper.teacher
    assert teacher is resumed.weight_average.module.backbone


def test_bfloat16_run_has_finite_losses(tiny_index, tmp_path):
    training = {**TRAINING, "precision": "bf16"}
    sections = tiny_sections(
        tiny_index, beyond_paper=SMALL, training=training, schedule={"iterations": 2}
    )
    runner = build_runner(out=tmp_path, **sections)
    runner.train()
    losses = {name for name in runner.last_losses if "loss" in name}
    assert {"loss_contrast", "loss_equivariance", "loss_dense", "projected_loss_coarse"} < losses


def test_card_names_options_and_labels_and_the_projector_is_dropped(tiny_index, tmp_path):
    sections = tiny_sections(
        tiny_index, beyond_paper=SMALL, training=TRAINING, schedule={"iterations": 2}
    )
    config = {k: v for k, v in sections.items() if k not in ("device", "progress")}
    done = pretrain(
        config, out=tmp_path / "run", name="all", device="cpu", progress=False, export_to=tmp_path
    )
    record = WeightRecord.from_json((done.weights / "card.json").read_text())
    assert record.data.details["beyond_paper"] == list(SMALL)
    assert record.data.details["labels_used"] == ["coarse", "fine", "moment"]
    assert record.heads.in_channels == record.feature_specs[record.high].channels
    card = (done.weights / "README.md").read_text()
    assert "projector" in card and "moment" in card
    assert "beyond_paper" in json.dumps(record.config)
