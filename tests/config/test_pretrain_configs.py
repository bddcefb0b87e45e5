"""Every shipped config builds, runs a batch, and gives every parameter a gradient."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny_run import write_tiny_index

from gesture_pretrain.config import file
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.pretraining.sections import check_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "pretrain").glob("*.py"))

SMALL = ["backbone.init=random", "backbone.size_px=64", "data.batch_size=4", "data.workers=0"]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    return write_tiny_index(tmp_path_factory.mktemp("configs") / "data")


def read_config(path, overrides=()):
    config = file.read_config(path, overrides, kind="pretrain")
    check_config(config)
    return config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_builds_and_every_parameter_gets_a_gradient(path, index, tmp_path):
    config = read_config(path, [*SMALL, f"data.index={index}"])
    config.pop("tag")
    runner = build_runner(out=tmp_path, device="cpu", progress=False, **config)
    model = runner.model.train()
    undo_zero_initialisation(model)
    batch = next(iter(runner.data.train))
    losses = model(batch, mode="loss")
    sum(value for name, value in losses.items() if "loss" in name).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    dead = [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0]
    assert dead == []


def undo_zero_initialisation(model):
    """ResNets start each block's last norm at weight 0, so that the block has no gradient yet."""
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and not parameter.any():
            torch.nn.init.ones_(parameter)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_resolved_config_reads_back_to_itself(path, tmp_path):
    config = read_config(path, ["data.fraction=0.5"])
    copy = tmp_path / "config.py"
    copy.write_text(Config(config).pretty_text)
    assert read_config(copy) == config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_ramp_ends_before_the_schedule_and_batch_norm_is_not_synchronised(path):
    config = check_config(read_config(path))
    ramp, last = config.objective.ramp, math.ceil(0.8 * config.schedule.epochs) - 1
    assert ramp.value(last) == ramp.maximum
    assert not config.training.sync_bn


def test_unknown_section_and_key_and_bad_override_are_named(tmp_path):
    with pytest.raises(ValueError, match="Unknown key optimiser.*optimizer"):
        read_config(CONFIGS[0], ["optimiser.lr=1"])
    with pytest.raises(ValueError, match="Unknown key optimizer.rate.*lr"):
        read_config(CONFIGS[0], ["optimizer.rate=1"])
    with pytest.raises(ValueError, match="section.key=value"):
        read_config(CONFIGS[0], ["optimizer.lr"])
    with pytest.raises(ValueError, match="'lr' is a value"):
        read_config(CONFIGS[0], ["optimizer.lr.peak=1"])
    with pytest.raises(FileNotFoundError, match="folders, "):
        read_config(CONFIGS[0].with_name("missing.py"))


def test_override_values_are_literals_words_or_text():
    values = ["data.fraction=1e-2", "data.val_split=none", "data.overfit=true", "data.hands=right"]
    data = read_config(CONFIGS[0], [*values, "data.subjects=[1, 2]"])["data"]
    assert (data["fraction"], data["val_split"], data["overfit"]) == (0.01, None, True)
    assert (data["hands"], data["subjects"]) == ("right", [1, 2])
