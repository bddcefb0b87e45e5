"""Pose networks train and predict from crops of their device as from those of the loader."""

import json

import numpy as np
import pytest
from mmengine.hooks import Hook
from pose_run import build_toy_dataset, pose_sections

from adapters.pose.data import build_pose_data
from adapters.pose.prediction import predict_split
from adapters.pose.training import build_pose_runner
from adapters.targets import find_pose_target
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.device_crop import UncroppedImage
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.taxonomy import Taxonomy

MODELS = {
    "token_fusion": {"size": "tiny", "guidance": "none", "cells": 4, "depth_cells": 4},
    "eanet": {"size": "tiny"},
}
SIZE_PX = 64
STEPS = 4


class RoundOtherwise(Hook):
    """Moves pixels as far as a device's crops may be from the loader's: 1 in 100, two levels."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        random = np.random.default_rng(batch_idx)
        image = data_batch.image.numpy()
        levels = random.choice([-2, 0, 2], p=[0.005, 0.99, 0.005], size=image.shape)
        image[:] = np.clip(image + levels, 0, 255)


class NoteImages(Hook):
    def __init__(self):
        self.kinds = set()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.kinds.add(type(data_batch.image))


def trained(out, index, target, *, crop_on, hook, **training):
    sections = pose_sections(
        index,
        target=target,
        data={"crop_on": crop_on, "workers": int(crop_on == "device")},
        backbone={"size_px": SIZE_PX},
        model=MODELS[target],
        schedule={"iterations": STEPS},
        training={"precision": "fp32", **training},
    )
    run = build_pose_runner(out=out, hooks=[hook], **sections)
    run.train()
    return run


def losses(out) -> np.ndarray:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return np.array([line["train_loss"] for line in lines if "train_loss" in line])


@pytest.mark.parametrize(
    "target, options", [("token_fusion", {}), ("token_fusion", {"accumulate": 2}), ("eanet", {})]
)
def test_a_run_follows_the_one_on_crops_of_the_loader(tmp_path, pose_index, target, options):
    note = NoteImages()
    ours, theirs, noisy = (tmp_path / name for name in ("device", "loader", "noisy"))
    run = trained(ours, pose_index, target, crop_on="device", hook=note, **options)
    assert note.kinds == {UncroppedImage}
    trained(theirs, pose_index, target, crop_on="loader", hook=NoteImages(), **options)
    trained(noisy, pose_index, target, crop_on="loader", hook=RoundOtherwise(), **options)
    curve, expected = losses(ours), losses(theirs)
    assert len(curve) == len(expected) == STEPS
    # no more than the most that pixels may be apart brings about, drawn once
    allowed = 2 * np.abs(losses(noisy) - expected).max()
    assert np.abs(curve - expected).max() <= allowed < 0.1 * np.ptp(expected)
    assert set(run.runner.last_metrics) == {"mpjpe_mm", "mpvpe_mm"}


@pytest.mark.parametrize("target", MODELS)
def test_predictions_from_either_crops_agree(pose_index, hands, target):
    index, chosen = HandIndex.open(pose_index), find_pose_target(target)
    options = chosen.options("tiny") | {k: v for k, v in MODELS[target].items() if k != "size"}
    backbone = build_backbone("test_resnet", size_px=SIZE_PX)
    model = chosen.build_model(backbone, hand_models=hands, **options)
    device, loader = (
        chosen.dataset_for(**options)(
            index,
            index.select(split="val"),
            Taxonomy.load("interhand26m"),
            SIZE_PX,
            hand_models=hands,
            crop_on=crop_on,
            announce=None,
        )
        for crop_on in ("device", "loader")
    )
    ours, expected = (
        predict_split(model, dataset, loader.rows[2:9], system="toy", batch_size=4)
        for dataset in (device, loader)
    )
    assert np.array_equal(ours.rows, expected.rows) and len(ours.rows) == 7
    apart = np.abs(ours.joints_rel_mm - expected.joints_rel_mm).max()
    # hands of different pictures, most of whose pixels are far apart, are predicted so far apart
    assert apart <= 0.01 * np.ptp(expected.joints_rel_mm, axis=0).max()


def test_the_key_reaches_the_target(pose_index, hands):
    options = {"size_px": SIZE_PX, "seed": 0, "workers": 0, "hand_models": hands}
    for build in (build_toy_dataset, find_pose_target("eanet").dataset_for()):
        with pytest.raises(ValueError, match="crop_on is 'gpu'; possible: loader, device"):
            build_pose_data(build_dataset=build, index=pose_index, crop_on="gpu", **options)
