"""A ResNet-50 as the files that EANet's own code and the author's fork read."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from adapters.eanet.encoder_file import export_encoder
from adapters.targets import SwapError
from eanet.checkpoint import SnapshotError, load_backbone, load_fork_encoder
from eanet.resnet import ResNet50Map
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork


@pytest.fixture(scope="module")
def network():
    backbone = build_backbone("resnet50", size_px=64, seed=4)
    return GestureNetwork(backbone, build_gesture_heads(2048, num_coarse=54, num_fine=70))


def test_upstreams_snapshot_holds_the_backbone_under_its_name(network, tmp_path):
    path = tmp_path / "snapshot_3.pth.tar"
    report = export_encoder(network, path, epoch=3)
    stored = torch.load(path, weights_only=True)
    assert set(stored) == {"epoch", "network"} and stored["epoch"] == 3
    theirs = ResNet50Map()
    load_backbone(theirs, stored["network"], prefix="module.hand_backbone.")
    for name, value in network.backbone.net.state_dict().items():
        assert torch.equal(theirs.state_dict()[name], value)
    assert report.ledger.matched_share == 1
    assert report.checks["map_equal_bit_for_bit"]


def test_the_forks_file_holds_backbone_and_classifiers(network, tmp_path):
    path = tmp_path / "gesture.pth"
    export_encoder(network, path, layout="author_fork")
    stored = torch.load(path, weights_only=True)
    assert stored["main_classifier.0.weight"].shape == (1024, 2048)
    assert stored["main_classifier.3.weight"].shape == (54, 1024)
    assert stored["sub_classifier.3.weight"].shape == (70, 1024)
    fresh = build_gesture_heads(2048, num_coarse=54, num_fine=70)
    heads = nn.ModuleDict({"main": fresh.coarse.layers, "sub": fresh.fine.layers})
    model = SimpleNamespace(backbone=ResNet50Map(), gesture_heads=heads)
    load_fork_encoder(model, stored, drop_heads=False)
    for ours, theirs in ((network.heads.coarse, heads["main"]), (network.heads.fine, heads["sub"])):
        for name, value in ours.layers.state_dict().items():
            assert torch.equal(theirs.state_dict()[name], value)


def test_without_heads_the_forks_file_has_none(network, tmp_path):
    path = tmp_path / "gesture.pth"
    export_encoder(network.backbone, path, layout="author_fork")
    stored = torch.load(path, weights_only=True)
    assert all(name.startswith("feature_encoder.") for name in stored)
    model = SimpleNamespace(backbone=ResNet50Map(), gesture_heads=None)
    load_fork_encoder(model, stored, drop_heads=True)
    with pytest.raises(SnapshotError):
        load_fork_encoder(model, stored, drop_heads=False)


def test_another_network_is_refused(backbone, tmp_path):
    with pytest.raises(SwapError, match=r"hrnet_w16_tiny has other tensors \(\d+ missing"):
        export_encoder(backbone, tmp_path / "x.pth.tar")
    assert not list(tmp_path.iterdir())


def test_an_unknown_layout_is_refused(network, tmp_path):
    with pytest.raises(ValueError, match="possible: upstream, author_fork"):
        export_encoder(network, tmp_path / "x.pth", layout="fork")
