"""timm's names to mmpose's and back: no bit changes, and mmpose's own classes load the file."""

import warnings

import pytest
import timm
import torch
from mmengine.registry import DefaultScope

from adapters.export.mmpose_names import (
    HEAD_KEY,
    export_mmpose,
    from_mmpose,
    mmpose_backbone_config,
    to_mmpose,
)
from adapters.targets import SwapError
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights.initial_weights import WeightMismatchError

ARCH = "hrnet_w18_small"


@pytest.fixture(scope="module")
def models():
    """mmpose's registry of models."""
    pytest.importorskip("mmpose", reason="mmpose is not installed; `make env` brings it")
    from adapters.export.mmpose_imports import import_mmpose_models

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_mmpose_models(stand_in_ops=True)
    from mmpose.registry import MODELS

    return MODELS


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    backbone = build_backbone(ARCH, size_px=64, seed=3)
    with torch.no_grad():  # statistics of their own, so that a buffer left behind is seen
        for value in backbone.net.buffers():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=torch.Generator().manual_seed(1)))
    path = tmp_path_factory.mktemp("mmpose") / "hrnet.pth"
    return backbone, path, export_mmpose(backbone, path)


def test_the_round_trip_changes_no_bit(exported):
    backbone, path, _ = exported
    given, back = backbone.net.state_dict(), from_mmpose(path, ARCH, size_px=64)
    assert back.net.state_dict().keys() == given.keys()
    for name, value in back.net.state_dict().items():
        assert value.dtype == given[name].dtype
        assert torch.equal(value, given[name]), name
    assert back.ledger.matched_share == 1


def test_without_a_head_it_stays_random_and_the_ledger_says_so(exported, tmp_path):
    backbone, path, _ = exported
    stored = torch.load(path, weights_only=True)
    torch.save(stored["state_dict"], tmp_path / "bare.pth")
    back = from_mmpose(tmp_path / "bare.pth", ARCH, size_px=64)
    assert set(back.ledger.fresh) == set(stored[HEAD_KEY])
    assert back.ledger.is_complete


def test_mmpose_loads_the_file_strictly_and_gives_the_same_maps(models, exported):
    backbone, path, _ = exported
    theirs = models.build({**mmpose_backbone_config(backbone), "_scope_": "mmpose"})
    theirs.load_state_dict(torch.load(path, weights_only=True)["state_dict"], strict=True)
    theirs.eval()
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        levels = backbone.eval()(image).levels
        for stride, found in zip((4, 8, 16, 32), theirs(image), strict=True):
            assert torch.equal(found, levels[f"stride{stride}"])


@pytest.mark.parametrize(("arch", "depth"), [("resnet18", 18), ("resnet50", 50)])
def test_resnet_has_the_same_names(models, tmp_path, arch, depth):
    backbone = build_backbone(arch, size_px=64)
    report = export_mmpose(backbone, tmp_path / "x.pth", stand_in_ops=True)
    assert mmpose_backbone_config(backbone)["depth"] == depth
    assert report.checks["maps_equal_bit_for_bit"]
    assert report.ledger.matched_share == 1


def test_hrnet_w32_shares_1830_of_1956_names(models):
    with torch.device("meta"):
        backbone = build_backbone("hrnet_w32", seed=None)
        config = {**mmpose_backbone_config(backbone), "_scope_": "mmpose"}
        theirs = models.build(config).state_dict()
        config["extra"]["stage4"]["multiscale_output"] = False
        fewer = models.build(config).state_dict()
        ours = timm.create_model("hrnet_w32").state_dict()
    assert (len(ours), len(theirs), len(ours.keys() & theirs.keys())) == (1956, 1830, 1830)
    assert {n: v.shape for n, v in theirs.items()} == {n: ours[n].shape for n in theirs}
    lost = theirs.keys() - fewer.keys()
    assert len(lost) == 78
    assert all(name.startswith("stage4.2.fuse_layers.") for name in lost)


def test_export_is_tried_out_after_a_runner_of_another_scope(models, tmp_path):
    # mmengine's default scope of an earlier run hid mmpose's classes: "not in the registry"
    with DefaultScope.overwrite_default_scope("mmengine"):
        report = export_mmpose(
            build_backbone("resnet18", size_px=64), tmp_path / "x.pth", stand_in_ops=True
        )
    assert report.checks["loaded_by_mmpose"] == "strictly"


def test_a_file_without_the_fuse_layers_is_refused(exported, tmp_path):
    _, path, _ = exported
    stored = torch.load(path, weights_only=True)["state_dict"]
    short = {n: v for n, v in stored.items() if not n.startswith("stage4.0.fuse_layers.1.")}
    torch.save({"state_dict": short}, tmp_path / "short.pth")
    with pytest.raises(WeightMismatchError, match="multiscale_output=False"):
        from_mmpose(tmp_path / "short.pth", ARCH)


def test_the_head_of_a_pose_estimator_is_left_out(exported, tmp_path):
    _, path, _ = exported
    stored = torch.load(path, weights_only=True)["state_dict"]
    estimator = {f"backbone.{name}": value for name, value in stored.items()}
    estimator["head.final_layer.weight"] = torch.zeros(21, 16, 1, 1)
    torch.save({"state_dict": estimator}, tmp_path / "pose.pth")
    back = from_mmpose(tmp_path / "pose.pth", ARCH, size_px=64)
    assert back.ledger.dropped_by_name == ("head.final_layer.weight",)
    assert set(back.ledger.matched) == set(stored)


def test_the_ledger_names_the_head_that_mmpose_lacks(exported):
    backbone, _, report = exported
    tensors, head = to_mmpose(backbone)
    assert set(report.ledger.matched) == set(tensors)
    assert set(report.ledger.dropped_by_name) == set(head)
    assert all(name.startswith(("incre", "downsamp", "final")) for name in head)


@pytest.mark.parametrize(
    ("arch", "reason"),
    [
        ("hrnet_w16_tiny", "64 stem channels, this 16"),
        ("convnext_atto", "only HRNets and plain ResNets"),
        ("resnet50d", "only HRNets and plain ResNets"),
    ],
)
def test_what_mmpose_cannot_build_is_refused(tmp_path, arch, reason):
    with pytest.raises(SwapError, match=f"{reason}.*GestureBackbone"):
        export_mmpose(build_backbone(arch, size_px=64), tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.pth files, not '\.safetensors'"):
        export_mmpose(build_backbone("resnet18"), tmp_path / "x.safetensors")
