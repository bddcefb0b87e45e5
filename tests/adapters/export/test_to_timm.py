"""Files that timm and torchvision load strictly, with the backbone's features bit for bit."""

import pytest
import safetensors.torch
import timm
import torch
import torchvision

from adapters.export import to_timm as adapter
from adapters.export.to_timm import export_timm, export_torchvision
from adapters.targets import SwapError
from gesture_pretrain.models.backbone import build_backbone

IMAGE = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_timm_loads_the_file_strictly(tmp_path, ending):
    backbone = build_backbone("resnet18", size_px=64, seed=5).eval()
    path = tmp_path / f"weights{ending}"
    report = export_timm(backbone, path)
    net = timm.create_model("resnet18", num_classes=0, checkpoint_path=str(path)).eval()
    with torch.no_grad():
        assert torch.equal(net.forward_features(IMAGE), backbone(IMAGE).levels["final"])
    assert report.checks["features_equal_bit_for_bit"]
    assert report.ledger.matched_share == 1


def test_the_stated_code_for_timm_works(tmp_path):
    report = export_timm(build_backbone("vit_tiny_patch16_224", size_px=64), tmp_path / "v.pth")
    scope = {}
    exec(report.how_to_load, scope)
    assert scope["net"].patch_embed.img_size == (64, 64)


def test_a_head_that_timm_insists_on_is_fresh_and_declared(tmp_path):
    backbone = build_backbone("convnext_atto", size_px=64)
    report = export_timm(backbone, tmp_path / "c.safetensors")
    assert report.ledger.fresh == ("head.norm.weight", "head.norm.bias")
    assert set(report.ledger.matched) == set(backbone.net.state_dict())


def test_timm_is_not_offered_an_architecture_it_lacks(backbone, tmp_path):
    with pytest.raises(SwapError, match="timm has no architecture 'hrnet_w16_tiny'"):
        export_timm(backbone, tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


def test_torchvision_loads_resnet50_strictly(tmp_path):
    backbone = build_backbone("resnet50", size_px=64, seed=5).eval()
    path = tmp_path / "resnet50.pth"
    report = export_torchvision(backbone, path)
    net = torchvision.models.resnet50().eval()
    net.load_state_dict(torch.load(path, weights_only=True), strict=True)
    for name, value in backbone.net.state_dict().items():
        assert torch.equal(net.state_dict()[name], value)
    net.fc = torch.nn.Identity()
    with torch.no_grad():
        assert torch.equal(net(IMAGE), backbone(IMAGE).pooled)
    assert report.ledger.fresh == ("fc.weight", "fc.bias")
    assert all(e.note for e in report.ledger.entries if e.status == "fresh")


def test_the_fresh_classifier_has_the_asked_size_and_the_seed_decides_it(tmp_path):
    backbone = build_backbone("resnet18", size_px=64)
    files = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for path, seed in zip(files, (0, 0, 1), strict=True):
        export_torchvision(backbone, path, num_classes=7, seed=seed)
    one, same, other = (safetensors.torch.load_file(path)["fc.weight"] for path in files)
    assert one.shape == (7, 512)
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_torchvision_is_offered_resnets_only(backbone, tmp_path):
    with pytest.raises(SwapError, match="torchvision has no 'hrnet_w16_tiny'.*resnet50"):
        export_torchvision(backbone, tmp_path / "x.pth")


def test_tensors_of_another_shape_are_refused(tmp_path):
    backbone = build_backbone("resnet18", size_px=64)
    backbone.net.conv1 = torch.nn.Conv2d(3, 64, 3, bias=False)
    with pytest.raises(SwapError, match="wrong_shape"):
        export_timm(backbone, tmp_path / "x.pth")
    with pytest.raises(SwapError, match="wrong_shape"):
        export_torchvision(backbone, tmp_path / "x.pth")


def test_another_file_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.safetensors or \.pth or \.tar, not '\.h5'"):
        export_timm(build_backbone("resnet18", size_px=64), tmp_path / "x.h5")


def test_nothing_is_written_where_the_features_differ(tmp_path, monkeypatch):
    def other_features(loaded):
        return lambda image: torch.zeros(1)

    monkeypatch.setattr(adapter, "_torchvision_features", other_features)
    path = tmp_path / "x.pth"
    path.write_bytes(b"earlier")
    with pytest.raises(SwapError, match="other features"):
        export_torchvision(build_backbone("resnet18", size_px=64), path)
    assert path.read_bytes() == b"earlier"
