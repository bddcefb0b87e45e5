"""Names, paths, the hub, other packages' backbones, and what is said when something is wrong."""

import hashlib
import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from gesture_pretrain import (
    export_backbone,
    list_backbones,
    load_backbone,
    register_backbone,
)
from gesture_pretrain.models import architectures
from gesture_pretrain.models.architectures import BrokenPackage
from gesture_pretrain.models.backbone import Backbone, build_backbone
from gesture_pretrain.models.feature_levels import FeatureSpec
from gesture_pretrain.weights import registry, released
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.registry import UnknownBackbone, find_backbone, registry_home

NAME = "hrnet_w16_tiny.one"


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A registry folder with two sets of weights."""
    home = tmp_path_factory.mktemp("home")
    backbone = build_backbone("hrnet_w16_tiny", size_px=64)
    for tag in ("one", "two"):
        export_backbone(backbone, tag=tag, out=home)
    return home


@pytest.fixture
def home(exported, tmp_path, monkeypatch) -> Path:
    """A copy that a test may spoil, set as the registry folder."""
    folder = tmp_path / "home"
    shutil.copytree(exported, folder)
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch, tmp_path):
    """`ARCHS` is known to other modules as an object, so it is emptied rather than replaced."""
    monkeypatch.setattr(registry, "_registered_folders", {})
    monkeypatch.setattr(released, "FOLDER", tmp_path / "nothing is released")
    before = dict(architectures.ARCHS)
    yield
    architectures.ARCHS.clear()
    architectures.ARCHS.update(before)


class TinyNet(nn.Module):
    """The smallest network that a user could bring."""

    feature_specs = {"stride16": FeatureSpec(4, 16), "final": FeatureSpec(8, 32)}

    def __init__(self):
        super().__init__()
        self.low = nn.Conv2d(3, 4, 16, stride=16)
        self.last = nn.Conv2d(4, 8, 2, stride=2)

    def forward_levels(self, image):
        low = self.low(image)
        return {"stride16": low, "final": self.last(low)}


def test_by_name_path_card_and_file(home):
    folder = home / NAME
    for source in (
        NAME,
        folder,
        str(folder),
        folder / "card.json",
        str(folder / "model.safetensors"),
    ):
        assert isinstance(load_backbone(source), Backbone)


def test_home_is_argument_then_variable_then_cache(home, tmp_path, monkeypatch):
    assert registry_home(tmp_path / "other") == tmp_path / "other"
    assert registry_home() == home
    monkeypatch.delenv("GESTURE_PRETRAIN_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if sys.platform == "linux":
        assert registry_home() == tmp_path / "cache" / "gesture-pretrain"
    assert not registry_home().exists()


def test_list(home):
    (home / ".hrnet_w16_tiny.three.0f.part").mkdir()
    (home / "hrnet_w16_tiny.empty").mkdir()
    assert list_backbones() == [NAME, "hrnet_w16_tiny.two"]
    assert list_backbones("*.two") == ["hrnet_w16_tiny.two"]
    assert list_backbones(home=home / "absent") == []


def test_unknown_name_lists_the_near_ones_and_how_to_add(home):
    with pytest.raises(UnknownBackbone) as caught:
        load_backbone("hrnet_w16_tiny.onne")
    message = str(caught.value)
    assert NAME in message and str(home) in message and "export_backbone" in message


def test_architecture_without_tag_lists_its_weights(home):
    with pytest.raises(UnknownBackbone, match=r"Similar names: .*hrnet_w16_tiny\.two"):
        load_backbone("hrnet_w16_tiny")


def test_unknown_name_in_an_empty_home(tmp_path):
    with pytest.raises(UnknownBackbone, match="registry is empty"):
        load_backbone("hrnet_w18.some", home=tmp_path)


def test_name_cannot_leave_the_home(home):
    with pytest.raises(UnknownBackbone):
        load_backbone("..", home=home / NAME)


def test_card_without_weights(home):
    (home / NAME / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="does not exist"):
        load_backbone(NAME)


def test_weights_without_card(home):
    (home / NAME / "card.json").unlink()
    for source in (NAME, home / NAME, home / NAME / "model.safetensors"):
        with pytest.raises(WeightsError, match=r"weights \(model.safetensors\) without card"):
            load_backbone(source)


def test_path_that_is_not_there_or_not_ours(home, tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        load_backbone("./absent")
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"build_starting_backbone\(arch, init=path\)"):
        load_backbone(other)


@pytest.mark.parametrize("change", ["flip", "cut"])
def test_hash_mismatch_says_expected_and_found(home, change):
    path = home / NAME / "model.safetensors"
    content = bytearray(path.read_bytes())
    expected = find_backbone(NAME).record.files["model.safetensors"].sha256
    if change == "flip":
        content[-1] ^= 1
    else:
        del content[-100:]
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"expected SHA-256 {expected}"):
        load_backbone(NAME)


def _edit_card(folder: Path, **changes) -> None:
    values = json.loads((folder / "card.json").read_text("utf-8"))
    (folder / "card.json").write_text(json.dumps({**values, **changes}), "utf-8")


def test_torn_card_is_named(home):
    card = home / NAME / "card.json"
    card.write_text(card.read_text("utf-8")[:50], "utf-8")
    with pytest.raises(WeightsError, match=r"card\.json: not JSON"):
        load_backbone(NAME)


def test_newer_format_says_update(home):
    _edit_card(home / NAME, format_version=99)
    with pytest.raises(WeightsError, match="pip install -U"):
        load_backbone(NAME)


def test_folder_under_another_name(home):
    (home / NAME).rename(home / "hrnet_w16_tiny.renamed")
    with pytest.raises(ValueError, match=f"contains '{NAME}'"):
        load_backbone("hrnet_w16_tiny.renamed")
    load_backbone(home / "hrnet_w16_tiny.renamed")


def test_weights_of_another_architecture_are_never_loaded_in_part(home):
    _edit_card(home / NAME, arch="hrnet_w16_mini", name="hrnet_w16_mini.one")
    with pytest.raises(WeightsError, match="do not fit hrnet_w16_mini"):
        load_backbone(home / NAME)


def test_levels_are_those_of_the_card(home):
    """Another library version could give other maps under the same parameter names."""
    specs = json.loads((home / NAME / "card.json").read_text("utf-8"))["feature_specs"]
    specs["final"]["channels"] += 1
    _edit_card(home / NAME, feature_specs=specs)
    with pytest.raises(WeightsError, match="levels"):
        load_backbone(NAME)


def test_unknown_architecture_in_a_card(home):
    _edit_card(home / NAME, arch="hrnet_w99", name="hrnet_w99.one")
    with pytest.raises(ValueError, match="unknown architecture 'hrnet_w99'"):
        load_backbone(home / NAME)


def test_cuda_asked_and_absent(home, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for device in ("cuda", "cuda:1", torch.device("cuda")):
        with pytest.raises(ValueError, match="not available.*Pass device='cpu'"):
            load_backbone(NAME, device=device)
    with pytest.raises(ValueError, match="is not a device"):
        load_backbone(NAME, device="gpu")


def test_own_architecture_and_weights(home, tmp_path):
    register_backbone("tinynet", TinyNet)
    backbone = build_backbone("tinynet", size_px=64)
    stored = export_backbone(backbone, tag="mine", out=tmp_path / "elsewhere")
    register_backbone("tinynet.mine", stored.path)
    assert "tinynet.mine" in list_backbones()
    image = torch.ones(1, 3, 64, 64)
    assert torch.equal(load_backbone("tinynet.mine")(image).pooled, backbone(image).pooled)


def test_name_registered_twice(home, tmp_path):
    register_backbone("tinynet", TinyNet)
    with pytest.raises(ValueError, match="already exists"):
        register_backbone("tinynet", TinyNet)
    with pytest.raises(ValueError, match="already exists in timm"):
        register_backbone("resnet18", TinyNet)
    register_backbone(NAME, home / NAME)
    with pytest.raises(ValueError, match="already registered"):
        register_backbone(NAME, home / NAME)


def test_registered_name_must_be_that_of_the_card(home):
    with pytest.raises(ValueError, match=f"contains '{NAME}'"):
        register_backbone("hrnet_w16_tiny.other", home / NAME)
    with pytest.raises(ValueError, match="is not a name for weights"):
        register_backbone("hrnet_w16_tiny", home / NAME)


def test_name_in_two_places_is_not_chosen_silently(home, tmp_path):
    shutil.copytree(home / NAME, tmp_path / "copy" / NAME)
    register_backbone(NAME, tmp_path / "copy" / NAME)
    with pytest.raises(ValueError, match="in several places"):
        load_backbone(NAME)


@pytest.fixture
def plugin(tmp_path, monkeypatch, home):
    """An installed package that announces an architecture, weights, and something broken."""
    site = tmp_path / "site"
    (site / "handplugin-1.0.dist-info").mkdir(parents=True)
    (site / "handplugin-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: handplugin\nVersion: 1.0\n"
    )
    (site / "handplugin-1.0.dist-info" / "entry_points.txt").write_text(
        "[gesture_pretrain.backbones]\n"
        "pluginnet = handplugin:build\n"
        "pluginnet.theirs = handplugin:WEIGHTS\n"
        "broken.one = handplugin_absent:WEIGHTS\n"
        "broken.two = handplugin:RENAMED\n"
        "broken.three = handplugin:build\n"
        "brokennet = handplugin_absent:build\n"
    )
    (site / "handplugin.py").write_text(
        "from pathlib import Path\n"
        "import test_registry_tinynet\n"
        "WEIGHTS = Path(__file__).parent / 'weights' / 'pluginnet.theirs'\n"
        "build = test_registry_tinynet.TinyNet\n"
    )
    monkeypatch.setitem(sys.modules, "test_registry_tinynet", sys.modules[__name__])
    register_backbone("pluginnet", TinyNet)
    export_backbone(build_backbone("pluginnet", size_px=64), tag="theirs", out=site / "weights")
    del architectures.ARCHS["pluginnet"]
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield site
    sys.modules.pop("handplugin", None)


def test_package_brings_architecture_and_weights(plugin):
    assert "pluginnet.theirs" in list_backbones()
    assert "handplugin" not in sys.modules  # listing imports no one's code
    assert load_backbone("pluginnet.theirs").arch == "pluginnet"
    assert "pluginnet" in architectures.ARCHS


def test_architecture_of_a_package_is_built_by_its_name(plugin):
    """A config can name it: no weights, and nothing registered beforehand."""
    assert "pluginnet" not in architectures.ARCHS
    backbone = build_backbone("pluginnet", size_px=64)
    assert isinstance(backbone.net, TinyNet) and backbone.pooled_channels == 8


def test_architecture_of_two_packages_is_not_chosen_silently(plugin):
    second = plugin / "rival-1.0.dist-info"
    shutil.copytree(plugin / "handplugin-1.0.dist-info", second)
    (second / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match="several packages: .*rival"):
        build_backbone("pluginnet", size_px=64)


def test_broken_package_harms_only_its_own_name(plugin):
    load_backbone(NAME)
    with pytest.raises(BrokenPackage, match="handplugin .*'broken.one'.*No module"):
        load_backbone("broken.one")


def test_broken_package_is_named(plugin):
    """The tools ended in a traceback that did not say whose package it was."""
    with pytest.raises(BrokenPackage, match="handplugin .*'broken.two'.*no attribute 'RENAMED'"):
        load_backbone("broken.two")
    with pytest.raises(BrokenPackage, match="handplugin .*'broken.three'.*folder of exported"):
        load_backbone("broken.three")
    with pytest.raises(BrokenPackage, match="handplugin .*'brokennet'.*No module"):
        build_backbone("brokennet", size_px=64)


def test_timm_model_with_a_classifier_is_refused_when_it_is_built(home):
    """It pretrained, and every pose network stopped at its fc, which had got no gradient."""
    register_backbone("classifying", lambda: timm.create_model("resnet18"))
    with pytest.raises(ValueError, match="classifier of 1000 classes.*num_classes=0"):
        build_backbone("classifying", size_px=64)
    register_backbone("plain", lambda: timm.create_model("resnet18", num_classes=0))
    assert build_backbone("plain", size_px=64).pooled_channels == 512


def test_hub(home, monkeypatch):
    import huggingface_hub

    asked = {}

    def fetch(repo, *, revision, allow_patterns):
        asked.update(repo=repo, revision=revision, patterns=allow_patterns)
        return str(home / NAME)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert isinstance(load_backbone("hf-hub:someone/hands.v1@main"), Backbone)
    assert (asked["repo"], asked["revision"]) == ("someone/hands.v1", "main")
    assert not any(pattern.endswith((".bin", ".py", ".pt")) for pattern in asked["patterns"])


def test_hub_offline(home, tmp_path, monkeypatch):
    """The real client, told to stay offline, with nothing in its cache."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ConnectionError, match="cannot download"):
        load_backbone("hf-hub:someone/hands")


def test_hub_client_absent(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'gesture-pretrain\[hub\]'"):
        load_backbone("hf-hub:someone/hands")


def test_hub_id_that_is_none(home):
    with pytest.raises(ValueError, match="not a repository id"):
        load_backbone("hf-hub:justaname")


@pytest.mark.parametrize("fault", ["nan", "zero", "dtype", "shape"])
def test_weights_that_cannot_be_right_are_refused(home, fault):
    """The card is hashed again, so that only the numbers are wrong."""
    path = home / NAME / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    if fault == "nan":
        tensors[name].view(-1)[0] = float("nan")
    elif fault == "zero":
        tensors = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    elif fault == "dtype":
        tensors[name] = tensors[name].double()
    else:
        tensors[name] = tensors[name][..., None]
    content = safetensors.torch.save(tensors)
    path.write_bytes(content)
    record = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    files = json.loads((home / NAME / "card.json").read_text())["files"]
    _edit_card(home / NAME, files={**files, "model.safetensors": record})
    with pytest.raises(WeightsError, match={"nan": "NaN", "zero": "zero"}.get(fault, "fit")):
        load_backbone(NAME)
