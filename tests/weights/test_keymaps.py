"""Key maps against the libraries themselves: names, shapes, and the same features."""

import sys
import types
from importlib import import_module, util

import pytest
import timm
import torch
import torchvision
from timm.models.hrnet import HighResolutionNet

from gesture_pretrain.models.architectures import hrnet_config
from gesture_pretrain.models.backbone import Backbone, InputSpec
from gesture_pretrain.models.feature_levels import hrnet_branches
from gesture_pretrain.weights.initial_weights import WeightMismatchError, load_initial_weights
from gesture_pretrain.weights.keymaps import (
    MMPOSE_HRNET_FROM_TIMM,
    TIMM_FROM_MMPOSE_HRNET,
    TIMM_FROM_TORCHVISION_RESNET,
    KeyMap,
    strip_wrappers,
)

CONFIG = hrnet_config(8, blocks=1, modules=(1, 1, 2), stem_width=64)


@pytest.fixture(scope="module")
def mmpose_hrnet():
    """mmpose's HRNet class.

    `mmpose.models` imports every head, and with them compiled operators that the light build of
    mmcv lacks. HRNet needs none of them: its file is imported under bare parent packages, which are
    taken out of `sys.modules` again.
    """
    pytest.importorskip("mmpose", reason="mmpose is not installed")
    pytest.importorskip("mmcv", reason="mmcv is not installed")
    before = set(sys.modules)
    root = util.find_spec("mmpose").submodule_search_locations[0]
    for name in ("models", "models.backbones", "models.utils"):
        package = types.ModuleType(f"mmpose.{name}")
        package.__path__ = [f"{root}/{name.replace('.', '/')}"]
        sys.modules.setdefault(package.__name__, package)
    from mmpose.registry import MODELS

    registered = dict(MODELS._module_dict)
    yield import_module("mmpose.models.backbones.hrnet").HRNet
    MODELS._module_dict.clear()
    MODELS._module_dict.update(registered)
    for name in set(sys.modules) - before:
        if name.startswith("mmpose.models"):
            del sys.modules[name]


def mmpose_extra(*, multiscale_output: bool) -> dict:
    """The tiny configuration in mmpose's words."""
    extra = {}
    for stage in ("stage1", "stage2", "stage3", "stage4"):
        theirs = dict(CONFIG[stage])
        theirs["block"] = theirs.pop("block_type")
        theirs.pop("fuse_method")
        extra[stage] = theirs
    extra["stage4"]["multiscale_output"] = multiscale_output
    return extra


def timm_backbone() -> Backbone:
    net = HighResolutionNet(CONFIG, num_classes=0)
    spec = InputSpec(64, (0.5,) * 3, (0.5,) * 3, 32)
    return Backbone(net, arch="hrnet_w8", input_spec=spec)


def randomise_statistics(net: torch.nn.Module) -> None:
    """Batch norm at its initial values would hide exchanged layers."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)


def test_mmpose_hrnet_gives_the_same_branches(mmpose_hrnet, tmp_path):
    theirs = mmpose_hrnet(mmpose_extra(multiscale_output=True))
    theirs.eval()  # returns None there
    randomise_statistics(theirs)
    checkpoint = {f"backbone.{name}": tensor for name, tensor in theirs.state_dict().items()}
    checkpoint["head.final_layer.weight"] = torch.zeros(21, 8, 1, 1)
    torch.save({"state_dict": checkpoint, "meta": {"epoch": 3}}, tmp_path / "pose.pth")
    ours = timm_backbone().eval()
    ledger = load_initial_weights(ours, tmp_path / "pose.pth")
    assert ledger.stripped == ("backbone.",) and ledger.container == ("state_dict",)
    assert ledger.dropped_by_name == ("head.final_layer.weight",)
    stages = {name.split(".")[0] for name in ledger.fresh}
    assert stages == {"incre_modules", "downsamp_modules", "final_layer"}
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for expected, got in zip(theirs(image), hrnet_branches(ours.net, image), strict=True):
            # the same operations on the same values; the sums of a fuse layer may be reordered
            assert torch.allclose(expected, got, rtol=1e-5, atol=1e-5)


def test_mmpose_default_lacks_weights_and_is_refused(mmpose_hrnet, tmp_path):
    """HRNet's well-known "does not match exactly": real weights, dropped in silence elsewhere."""
    theirs = mmpose_hrnet(mmpose_extra(multiscale_output=False))
    torch.save(theirs.state_dict(), tmp_path / "pose.pth")
    ours = timm_backbone()
    before = ours.net.conv1.weight.clone()
    with pytest.raises(WeightMismatchError, match="multiscale_output=False") as caught:
        load_initial_weights(ours, tmp_path / "pose.pth")
    missing = caught.value.ledger.missing
    assert {".".join(name.split(".")[:4]) for name in missing} == {
        f"stage4.1.fuse_layers.{i}" for i in (1, 2, 3)
    }
    assert torch.equal(ours.net.conv1.weight, before), "a refused file must change nothing"
    declared = [f"stage4.1.fuse_layers.{i}." for i in (1, 2, 3)]
    ledger = load_initial_weights(ours, tmp_path / "pose.pth", allow_fresh=declared)
    assert set(missing) < set(ledger.fresh)


def test_timm_to_mmpose_and_back_changes_no_bit(mmpose_hrnet):
    source = timm_backbone().net
    randomise_statistics(source)
    there, left_out = MMPOSE_HRNET_FROM_TIMM.apply(source.state_dict())
    mmpose_hrnet(mmpose_extra(multiscale_output=True)).load_state_dict(there, strict=True)
    back, dropped = TIMM_FROM_MMPOSE_HRNET.apply(there)
    assert dropped == ()
    own = source.state_dict()
    assert set(own) - set(back) == set(left_out)
    assert all(torch.equal(tensor, own[name]) for name, tensor in back.items())


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_torchvision_resnet_names_are_timms(arch):
    theirs = torchvision.models.get_model(arch).state_dict()
    renamed, left_out = TIMM_FROM_TORCHVISION_RESNET.apply(theirs)
    assert left_out == ("fc.weight", "fc.bias")
    timm.create_model(arch, num_classes=0).load_state_dict(renamed, strict=True)


def test_torchvision_resnet_gives_the_same_map(tmp_path):
    from gesture_pretrain.weights.starting_backbone import build_starting_backbone

    theirs = torchvision.models.resnet18().eval()
    randomise_statistics(theirs)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    ours = build_starting_backbone("resnet18", init=tmp_path / "resnet18.pth", size_px=64).eval()
    trunk = torch.nn.Sequential(*list(theirs.children())[:-2])
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(trunk(image), ours(image).levels["final"], rtol=1e-5, atol=1e-5)
    assert ours.ledger.matched_share == 1.0


def test_longest_key_wins_and_collisions_raise():
    keymap = KeyMap("a", "b", {"x.": "y.", "x.fc.": None, "x.one": "z"})
    assert [keymap.name(n) for n in ("x.w", "x.fc.w", "x.one", "other")] == [
        "y.w",
        None,
        "z",
        "other",
    ]
    with pytest.raises(ValueError, match="two tensors of the a file become 'y.w'"):
        keymap.apply({"x.w": torch.ones(1), "y.w": torch.ones(1)})


def test_wrappers_come_off_from_the_outside_in():
    own = {"conv1.weight"}
    wrapped = {
        "module._orig_mod.backbone.conv1.weight": torch.ones(1),
        "module._orig_mod.head.weight": torch.ones(2),
    }
    tensors, stripped, beside = strip_wrappers(wrapped, own)
    assert set(tensors) == own
    assert stripped == ("module.", "_orig_mod.", "backbone.")
    assert set(beside) == {"module._orig_mod.head.weight"}


def test_a_prefix_that_only_some_have_stays():
    mixed = {"module.conv1.weight": torch.ones(1), "conv2.weight": torch.ones(1)}
    assert strip_wrappers(mixed, {"conv1.weight"})[0] == mixed


def test_a_prefix_of_the_network_itself_stays():
    own = {"model.conv1.weight"}
    assert strip_wrappers({"model.conv1.weight": torch.ones(1)}, own)[1] == ()
