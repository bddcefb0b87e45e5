"""A batch taken in parts gives the gradient of the whole, however its labels are spread."""

import pytest
import torch
from tiny_run import SIZE_PX, tiny_sections

from adapters.pose.data import PoseDataSection, build_pose_data
from adapters.targets import find_pose_target
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.training.accumulation import accumulated_step, split_batch
from gesture_pretrain.training.optimizer import FiniteOptimWrapper
from gesture_pretrain.training.placement import freeze_batch_norm
from gesture_pretrain.training.step_mean import StepCounts, step_mean_count

BATCH = 8


class KeptGradient(FiniteOptimWrapper):
    """Takes no step and keeps the gradient."""

    def __init__(self, model):
        self.model = model
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        super().__init__(device=torch.device("cpu"), optimizer=optimizer)

    def _step_unless(self, broken):
        self.gradient = {
            name: parameter.grad.clone()
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None
        }


def gradients(model, batch):
    """Gradients and logs of the whole batch, in two and in four parts."""
    freeze_batch_norm(model.eval())
    model.train()
    found = []
    for parts in (1, 2, 4):
        wrapper = KeptGradient(model)
        log = (
            model.train_step(batch, wrapper)
            if parts == 1
            else accumulated_step(model, batch, parts=parts, optim_wrapper=wrapper)
        )
        found.append((wrapper.gradient, log))
    return found


def check(found):
    (whole, log), *others = found
    # the largest sum goes over BATCH x (SIZE_PX / 2)^2 terms; float32 rounding of it, and as much
    # again for each of the ten layers or so that a gradient passes through
    size = max(float(value.abs().max()) for value in whole.values())
    allowed = size * 10 * (BATCH * (SIZE_PX / 2) ** 2) ** 0.5 * 2**-24
    for other, other_log in others:
        assert whole.keys() == other.keys()
        for name, value in whole.items():
            assert (value - other[name]).abs().max() <= allowed, name
        assert other_log["loss"].item() == pytest.approx(log["loss"].item(), rel=1e-5)
    return allowed


def test_gesture_objective(tmp_path, tiny_index):
    sections = tiny_sections(tiny_index, heads={"dropout": 0.0})
    runner = build_runner(out=tmp_path, **sections)
    batch = next(iter(runner.data.train))
    batch.coarse[:3], batch.fine[5] = -1, -1  # parts of two have 0, 1, 2, 2 coarse labels
    found = gradients(runner.model, batch)
    allowed = check(found)
    # the mean of the parts' own means is another gradient
    means = {}
    for part in split_batch(batch, 4):
        wrapper = KeptGradient(runner.model)
        runner.model.train_step(part, wrapper)
        means = {n: means.get(n, 0) + g / 4 for n, g in wrapper.gradient.items()}
    whole = found[0][0]
    assert max((whole[n] - means[n]).abs().max() for n in whole) > 100 * allowed


@pytest.mark.parametrize(
    "name, backbone, options",
    [
        ("token_fusion", ("test_resnet", 32), {"size": "tiny", "cells": 4, "camera_head": True}),
        ("eanet", ("test_resnet", 64), {"size": "tiny"}),
    ],
)
def test_pose_objectives(tiny_index, hand_models, name, backbone, options):
    target = find_pose_target(name)
    options = {**target.options(options.pop("size")), **options}
    arch, size_px = backbone
    network = build_backbone(arch, size_px=size_px)
    data = build_pose_data(
        PoseDataSection(index=tiny_index, batch_size=BATCH, workers=0, val_split=None),
        build_dataset=target.dataset_for(**options),
        size_px=size_px,
        seed=0,
        hand_models=hand_models,
    )
    if name == "token_fusion":
        options["guidance"] = "none"
    model = target.build_model(network, seed=0, hand_models=hand_models, **options)
    batch = next(iter(data.train))
    unknown = "mano_valid" if name == "token_fusion" else "mano_param_valid"
    getattr(batch, unknown)[:3] = 0
    check(gradients(model, batch))


def test_run_with_parts_is_the_run_without(tmp_path, tiny_index):
    curves = []
    for parts in (1, 2):
        sections = tiny_sections(
            tiny_index,
            heads={"dropout": 0.0},
            schedule={"iterations": 3},
            training={"accumulate": parts, "freeze_bn": True},
            data={"val_split": None},
        )
        runner = build_runner(out=tmp_path / str(parts), **sections)
        runner.train()
        curves.append(runner.last_losses["loss"])
    assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def test_wrong_parts_are_named_before_training(tmp_path, tiny_index):
    for parts, said in ((3, "not divisible by 3"), (0, "above 0")):
        sections = tiny_sections(tiny_index, training={"accumulate": parts})
        with pytest.raises(ValueError, match=said):
            build_runner(out=tmp_path / str(parts), **sections)


def test_model_that_cannot_count_is_named(tmp_path, tiny_index):
    sections = tiny_sections(tiny_index, training={"accumulate": 2})
    runner = build_runner(out=tmp_path, **sections)
    runner.model.forward = lambda batch, mode: 1 / {"loss": 1}[mode]
    with pytest.raises(ValueError, match="GesturePretrainer has no mode 'count'"):
        runner.train()


def test_parts_must_ask_for_the_same_counts():
    counts = StepCounts()
    with counts.collecting():
        step_mean_count(torch.tensor(3))
    with counts.collecting():
        step_mean_count(torch.tensor(1))
    with pytest.raises(RuntimeError, match="requested 0 counts, others 1"):
        with counts.giving():
            pass
    with counts.giving():
        assert step_mean_count(torch.tensor(3)) == 2  # of 4 entries in 2 parts
    assert step_mean_count(torch.tensor(3)) == 3
