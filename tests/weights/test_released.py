"""Weights in the package: half precision on disk, found by name, and checked by their hash."""

import hashlib
import json
import shutil

import pytest
import torch
from random_pose_model import store_random_pose_model

from adapters.pose.checkpoint import load_pose_model, release_pose_model
from gesture_pretrain import export_backbone, list_backbones, load_backbone
from gesture_pretrain.commands.main import run_commands
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights import released
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.export import release_backbone
from gesture_pretrain.weights.registry import UnknownBackbone, find_backbone

NAME = "test_resnet.published"
shipped_here = pytest.mark.skipif(
    not released.released_pose_networks(), reason="this checkout contains no released weights"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of released weights, and an empty registry."""
    monkeypatch.setattr(released, "FOLDER", tmp_path / "released")
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    return tmp_path / "released"


@pytest.fixture
def backbone(tmp_path):
    network = build_backbone("test_resnet", size_px=64)
    return network, export_backbone(network, tag="published", out=tmp_path / "export").path


def test_a_backbone_is_half_as_large_and_found_by_name(folder, backbone):
    network, path = backbone
    stored = release_backbone(path, notes="From random weights.", out=folder)
    sizes = [(p / "model.safetensors").stat().st_size for p in (path, stored.path)]
    assert sizes[1] < 0.6 * sizes[0]
    assert list_backbones() == [NAME] and find_backbone(NAME).record.notes
    loaded = load_backbone(NAME).state_dict()
    for name, value in network.state_dict().items():
        assert loaded[name].dtype == value.dtype
        torch.testing.assert_close(loaded[name], value, rtol=1e-3, atol=1e-6)


def test_a_card_has_paths_without_their_folders(folder, tmp_path):
    network = build_backbone("test_resnet", size_px=64)
    config = {
        "data": {"index": "/home/someone/hands", "batch_size": 2},
        "init": "/home/a/run/model",
    }
    path = export_backbone(network, tag="published", config=config, out=tmp_path).path
    stored = release_backbone(path, notes="", out=folder)
    kept = {"data": {"index": "hands", "batch_size": 2}, "init": "run/model"}
    assert stored.record.config == kept


def test_the_registry_comes_first(folder, backbone):
    network, path = backbone
    release_backbone(path, notes="", out=folder)
    export_backbone(network, tag="published")
    assert find_backbone(NAME).path.parent != folder


def test_a_changed_file_is_refused(folder, backbone):
    stored = release_backbone(backbone[1], notes="", out=folder)
    file = stored.path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="SHA-256"):
        load_backbone(NAME)


def test_values_outside_of_half_precision_are_refused(folder, tmp_path):
    network = build_backbone("test_resnet", size_px=64)
    with torch.no_grad():
        next(p for p in network.parameters() if p.ndim > 1)[0] = 1e6
    path = export_backbone(network, tag="large", out=tmp_path).path
    with pytest.raises(ValueError, match="65504"):
        release_backbone(path, notes="", out=folder)
    assert not list(folder.glob("*/card.json"))


def test_a_pose_network_is_found_by_name(folder, tmp_path):
    source = store_random_pose_model(tmp_path / "model", taxonomy=None)
    card = json.loads((source / "card.json").read_text())
    (source / "card.json").write_text(json.dumps({**card, "backbone_name": str(source)}))
    release_pose_model(source, "my_network", notes="Random weights.", out=folder)
    assert str(tmp_path) not in (folder / "my_network" / "card.json").read_text()
    before, after = (load_pose_model(s).model.state_dict() for s in (source, "my_network"))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-3, atol=1e-6)
    assert list_backbones() == []
    with pytest.raises(FileNotFoundError, match="my_network"):
        load_pose_model("my_netwrok")
    with pytest.raises(ValueError, match="cannot name"):
        release_pose_model(source, "with.dot", notes="", out=folder)


def sha256_of(folder) -> str:
    return hashlib.sha256((folder / "card.json").read_bytes()).hexdigest()


def test_a_name_on_the_hub_is_downloaded(folder, backbone, monkeypatch):
    asked = []

    def download(repository, *, revision, allow_patterns):
        asked.append((repository, revision))
        return str(backbone[1])

    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    address, sha256 = "hf-hub:someone/weights@abc", sha256_of(backbone[1])
    monkeypatch.setitem(released.DOWNLOADS, NAME, released.Download(address, sha256))
    assert load_backbone(NAME).arch == "test_resnet"
    assert asked == [("someone/weights", "abc")]
    monkeypatch.setitem(released.DOWNLOADS, NAME, released.Download(address, "f" * 64))
    with pytest.raises(WeightsError, match=f"{sha256}.*{'f' * 64}"):
        load_backbone(NAME)


def test_a_name_with_a_url_is_downloaded_once(folder, backbone, tmp_path, monkeypatch):
    pose = store_random_pose_model(tmp_path / "model", taxonomy=None)
    for name, source in ((NAME, backbone[1]), ("my_network", pose)):
        entry = released.Download(source.as_uri(), sha256_of(source))
        monkeypatch.setitem(released.DOWNLOADS, name, entry)
    assert list_backbones() == [NAME] and released.released_pose_networks() == {"my_network"}
    for _ in range(2):
        loaded, first = (next(n.parameters()) for n in (load_backbone(NAME), backbone[0]))
        assert torch.equal(loaded, first)
        assert load_pose_model("my_network").card.arch == "test_resnet"
        shutil.rmtree(backbone[1], ignore_errors=True)
        shutil.rmtree(pose, ignore_errors=True)
    with pytest.raises(ConnectionError, match="cannot download"):
        released.released_folder(NAME, tmp_path / "elsewhere")


@pytest.mark.parametrize("changed", ["card.json", "model.safetensors"])
def test_a_download_with_another_hash_is_not_stored(folder, backbone, monkeypatch, changed):
    sha256, file = sha256_of(backbone[1]), backbone[1] / changed
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_bytes(file.read_bytes() + b" ")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    entry = released.Download(backbone[1].as_uri(), sha256)
    monkeypatch.setitem(released.DOWNLOADS, NAME, entry)
    with pytest.raises(WeightsError, match=f"{found}.*{expected}"):
        load_backbone(NAME)
    assert not (folder.parent / "home" / "downloads").exists()


def test_an_unknown_name_lists_the_released_ones(folder, backbone):
    release_backbone(backbone[1], notes="", out=folder)
    with pytest.raises(UnknownBackbone, match=NAME):
        load_backbone("test_resnet.publishd")


@pytest.mark.parametrize("command", ["swap", "export"])
def test_lists_name_the_released_weights(folder, backbone, tmp_path, capsys, command):
    release_backbone(backbone[1], notes="", out=folder)
    source = store_random_pose_model(tmp_path / "model", taxonomy=None)
    release_pose_model(source, "my_network", notes="", out=folder)
    assert run_commands([command, "--list"]) == 0
    printed = capsys.readouterr().out
    assert f"backbones: {NAME}" in printed and "networks: my_network" in printed


@shipped_here
def test_shipped_weights_load_and_fit_into_the_package():
    assert released.POSE_NETWORK in released.released_pose_networks()
    for name in released.released_pose_networks():
        load_pose_model(name)
    for name in released.released_backbones():
        load_backbone(name)
    size = sum(file.stat().st_size for file in released.FOLDER.rglob("*") if file.is_file())
    assert size <= 16e6
