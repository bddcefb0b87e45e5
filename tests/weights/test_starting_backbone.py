"""Training from exported weights by name, folder or file: ledger, hash, wrong names."""

import shutil
from pathlib import Path

import pytest

from gesture_pretrain import export_backbone
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.initial_weights import WeightFileError
from gesture_pretrain.weights.ledger import fingerprint
from gesture_pretrain.weights.registry import UnknownBackbone
from gesture_pretrain.weights.starting_backbone import build_starting_backbone

ARCH, NAME = "test_resnet", "test_resnet.one"
MEAN = (0.1, 0.2, 0.3)


@pytest.fixture(scope="module")
def weights():
    """Other weights, and another normalisation, than `build_backbone` gives."""
    backbone = build_backbone(ARCH, size_px=64, seed=9)
    backbone.input_spec = backbone.input_spec._replace(mean=MEAN)
    return backbone


@pytest.fixture
def folder(weights, tmp_path, monkeypatch) -> Path:
    """The weights in a registry of their own."""
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    return export_backbone(weights, tag="one").path


@pytest.mark.parametrize("kind", ["name", "folder", "text of a folder", "file"])
def test_exported_weights_arrive_with_a_full_ledger(weights, folder, kind):
    init = {"name": NAME, "folder": folder, "text of a folder": str(folder)}.get(
        kind, folder / "model.safetensors"
    )
    backbone = build_starting_backbone(ARCH, init=init, size_px=32)
    assert fingerprint(backbone.net.state_dict()) == fingerprint(weights.net.state_dict())
    assert {entry.status for entry in backbone.ledger.entries} == {"matched"}
    assert backbone.ledger.source.startswith(f"{NAME}, SHA-256 ")
    assert backbone.input_spec.mean == pytest.approx(MEAN)
    assert backbone.input_spec.size_px == 32 and backbone.training


def test_other_initial_weights_are_those_of_build_backbone(weights, folder, tmp_path):
    random = build_starting_backbone(ARCH, size_px=64, seed=9)
    assert fingerprint(random.net.state_dict()) == fingerprint(weights.net.state_dict())
    bare = Path(shutil.copy(folder / "model.safetensors", tmp_path))  # no card beside it
    assert build_starting_backbone(ARCH, init=bare).ledger.source == "model.safetensors"
    with pytest.raises(WeightFileError, match="nowhere.pth does not exist"):
        build_starting_backbone(ARCH, init="nowhere.pth")


@pytest.mark.parametrize("kind", ["name", "file"])
def test_changed_weights_are_refused(folder, kind):
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="does not match its card"):
        build_starting_backbone(ARCH, init=NAME if kind == "name" else file)


def test_weights_of_another_architecture_name_the_ones_that_fit(folder):
    with pytest.raises(ValueError, match="for test_resnet, .*is hrnet_w16_tiny.*the registry has"):
        build_starting_backbone("hrnet_w16_tiny", init=NAME)
    other = build_backbone("hrnet_w16_tiny", size_px=32)
    other_name = export_backbone(other, tag="two").name
    with pytest.raises(ValueError, match=rf"weights of test_resnet: {NAME}\."):
        build_starting_backbone(ARCH, init=other_name)


def test_unknown_names_and_empty_folders_say_what_is_possible(folder, tmp_path):
    with pytest.raises(UnknownBackbone, match=rf"Similar names: {NAME}.*'timm', a weight file"):
        build_starting_backbone(ARCH, init="test_resnet.on")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="no card.json.*can be"):
        build_starting_backbone(ARCH, init=tmp_path / "empty")
