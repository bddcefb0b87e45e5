"""timm and transformers load an exported folder by its config.json, bit for bit."""

import json

import pytest
import timm
import torch

from gesture_pretrain import export_backbone, load_backbone
from gesture_pretrain.models.backbone import build_backbone


@pytest.fixture(scope="module", params=["resnet18", "hrnet_w18_small"])
def exported(request, tmp_path_factory):
    backbone = build_backbone(request.param, size_px=64, seed=3)
    return export_backbone(backbone, tag="x", out=tmp_path_factory.mktemp("weights")).path


@pytest.fixture
def image():
    return torch.randn(1, 3, 64, 64)


@torch.no_grad()
def test_timm_loads_the_folder(exported, image):
    ours = load_backbone(exported).eval()
    theirs = timm.create_model(f"local-dir:{exported}", pretrained=True).eval()
    assert torch.equal(theirs.forward_features(image), ours.net.forward_features(image))
    cfg, spec = theirs.pretrained_cfg, ours.input_spec
    assert cfg["input_size"][1] == spec.size_px and tuple(cfg["mean"]) == tuple(spec.mean)


@torch.no_grad()
def test_timm_gives_the_feature_maps(exported, image):
    raw = {"feature_location": ""} if exported.name.startswith("hrnet") else {}
    ours = load_backbone(exported).eval()(image).levels
    theirs = timm.create_model(
        f"local-dir:{exported}", pretrained=True, features_only=True, **raw
    ).eval()
    last = theirs(image)[1:]  # the first is HRNet's stem, which is not a level of ours
    assert [level.shape[-1] for level in last] == [16, 8, 4, 2]
    for level in last:
        assert any(torch.equal(level, own) for own in ours.values())


@torch.no_grad()
def test_transformers_gives_the_feature_maps(exported, image):
    transformers = pytest.importorskip("transformers")
    config = transformers.TimmBackboneConfig(
        backbone=f"local-dir:{exported}", out_indices=(1, 2, 3, 4)
    )
    theirs = transformers.AutoBackbone.from_config(config, pretrained=True).eval()
    timms = timm.create_model(
        f"local-dir:{exported}", pretrained=True, features_only=True, out_indices=(1, 2, 3, 4)
    ).eval()
    maps = theirs(image).feature_maps
    assert len(maps) == 4
    assert all(torch.equal(a, b) for a, b in zip(maps, timms(image), strict=True))


@pytest.mark.parametrize("arch", ["hrnet_w16_tiny", "mobilenetv3_small_050"])
def test_other_networks_have_no_config_of_timm(arch, tmp_path):
    """Ours, and those whose head modules are not part of the backbone."""
    stored = export_backbone(build_backbone(arch, size_px=64), tag="x", out=tmp_path)
    assert not (stored.path / "config.json").exists()


def test_the_config_is_plain_json(exported):
    content = json.loads((exported / "config.json").read_text())
    assert content["num_classes"] == 0 and content["architecture"] in exported.name
