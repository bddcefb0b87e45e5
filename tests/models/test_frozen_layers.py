"""Freezing a backbone up to a level: what stays, what trains, and what is refused."""

import pytest
import torch

from gesture_pretrain.models import build_backbone, freeze
from gesture_pretrain.models.frozen_layers import frozen_parameter_names
from gesture_pretrain.weights.ledger import fingerprint

CASES = {
    "tf_efficientnet_lite0": "stride8",
    "resnet18": "stride8",
    "convnext_atto": "stride8",
    "mobilenetv3_small_050": "stride8",
    "vit_tiny_patch16_224": "middle",
}


def image(seed=0, side=64):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("arch, level", CASES.items())
def test_layers_up_to_the_level_stay_and_all_later_ones_train(arch, level):
    backbone = build_backbone(arch, size_px=64)
    freeze(backbone, level)
    backbone.train()
    names = list(backbone.feature_specs)
    kept = {name: p.detach().clone() for name, p in backbone.net.named_parameters()}
    before = backbone.eval()(image()).levels
    backbone.train()
    features = backbone(image(1)).levels
    for name in names:
        is_frozen = names.index(name) <= names.index(level)
        assert features[name].requires_grad == (not is_frozen), name
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=1.0)
    sum(features[name].square().mean() for name in names[names.index(level) + 1 :]).backward()
    optimizer.step()
    frozen = frozen_parameter_names(backbone, level)
    assert 0 < len(frozen) < len(kept)
    for name, parameter in backbone.net.named_parameters():
        assert (parameter.grad is None) == (name in frozen), name
        assert name not in frozen or torch.equal(parameter, kept[name]), name
    after = backbone.eval()(image()).levels  # batch-norm statistics stayed, too
    for name in names:
        same = torch.equal(before[name], after[name])
        assert same == (names.index(name) <= names.index(level)), name


def test_a_frozen_backbone_changes_in_nothing():
    backbone = build_backbone("resnet18", size_px=64)
    freeze(backbone)
    before = fingerprint(backbone.state_dict())
    assert not backbone.train()(image()).pooled.requires_grad
    assert fingerprint(backbone.state_dict()) == before


def test_nothing_is_frozen_by_default():
    backbone = build_backbone("resnet18", size_px=64)
    freeze(backbone, False)
    assert all(p.requires_grad for p in backbone.parameters())
    assert all(m.training for m in backbone.train().modules())


@pytest.mark.parametrize(
    "arch, level", [("resnet18", "stride6"), ("resnet18", "final"), ("hrnet_w18_small", "stride8")]
)
def test_unknown_levels_and_parallel_branches_are_refused(arch, level):
    with pytest.raises(ValueError, match=f"{level}.*possible.*true"):
        freeze(build_backbone(arch, size_px=64), level)
