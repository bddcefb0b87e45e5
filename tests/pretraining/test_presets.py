"""Presets: the numbers that a start gets, and what takes precedence."""

import pytest

from gesture_pretrain.pretraining.presets import PRESETS, suitable_preset
from gesture_pretrain.pretraining.stage import resolve_config

CONFIG = {"data": {"index": "i"}, "backbone": {"arch": "resnet18"}}


@pytest.mark.parametrize(
    ("arch", "init", "expected"),
    [
        ("resnet18", "random", "random"),
        ("resnet18", "imagenet", "convolutional"),
        ("hrnet_w16_tiny", "hrnet_w16_tiny.demo", "convolutional"),
        ("tf_efficientnet_lite1", "imagenet", "convolutional"),
        ("convnext_tiny.dinov3_lvd1689m", "timm", "convnext"),
        ("vit_small_patch14_dinov2", "timm", "transformer"),
        ("vit_small_patch16_dinov3", "weights.safetensors", "transformer"),
        ("not_a_model_of_timm", "file.pth", "convolutional"),
    ],
)
def test_a_start_gets_the_preset_of_its_family(arch, init, expected):
    assert suitable_preset({"arch": arch, "init": init}) == expected


def test_own_numbers_take_precedence_and_the_resolved_config_has_them_all():
    overrides = ["optimizer.preset=auto", "optimizer.lr=2e-5", "backbone.arch=test_vit"]
    resolved = resolve_config(CONFIG, overrides, {"backbone.init": "timm"})
    assert resolved["optimizer"] == {**PRESETS["transformer"], "lr": 2e-5}


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="convnext"):
        resolve_config(CONFIG, ["optimizer.preset=convnet"])
