"""A checkout with the interface of the published code, driven with a backbone of ours."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from adapters.eanet.checkout.backbone import (
    ForkBackbone,
    checkout_backbone,
    pack_network,
    unpack_network,
)
from adapters.eanet.checkout.driver import (
    CheckoutError,
    find_main_folder,
    raise_failure,
    run_checkout,
)
from adapters.eanet.checkout.shims import (
    angle_axis_of_matrix,
    matrix_of_angle_axis,
    to_without_cuda,
    with_boolean_subtraction,
)
from adapters.eanet.checkout.watch import CheckoutWatch, require_tensors
from adapters.eanet.checkout.worker import place_in_model, swap_in
from adapters.targets import SwapError
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork

DOUBLE = Path(__file__).parent / "checkout_double"
TRAIN = {"entry": "train.py", "allow_projection": True}


@pytest.fixture(scope="module")
def backbone():
    return build_backbone("hrnet_w16_tiny", size_px=256, seed=5)


@pytest.fixture
def checkout(tmp_path) -> Path:
    return Path(shutil.copytree(DOUBLE, tmp_path / "checkout"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, backbone):
    """A checkout after its own training, what it was before, and the report."""
    root = tmp_path_factory.mktemp("trained") / "checkout"
    shutil.copytree(DOUBLE, root)
    before = hashes(root)
    heads = build_gesture_heads(512, num_coarse=3, num_fine=4, hidden=8)
    network = GestureNetwork(backbone, heads)
    return root, before, run_checkout(root, network, arguments=["--gpu", "0"], **TRAIN)


def hashes(root: Path) -> dict[str, str]:
    """Of all files but what the checkout itself writes."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if "output" not in path.relative_to(root).parts
    }


# --- end to end, in a process of its own --------------------------------------------------------


def test_the_swapped_backbone_trains_and_is_saved(trained, backbone):
    root, before, report = trained
    seen = report.first_step
    parameters = dict(backbone.net.named_parameters())
    assert seen["optimizer"] == "Adam" and report.steps == 2
    # the two more are the declared projection's
    assert seen["backbone_parameters_in_optimizer"] == len(parameters) + 2
    assert seen["backbone_parameters_with_gradient"] == len(parameters) + 2
    assert seen["before"] != seen["after"]
    (saved,) = report.saved
    assert saved["prefix"] == "module.hand_backbone." and saved["epoch"] == 0
    network = torch.load(root / "output/model_dump/snapshot_0.pth.tar")["network"]
    held = {n.removeprefix(saved["prefix"]) for n in network if "hand_backbone" in n}
    projection = {"backbone_projection.conv.weight", "backbone_projection.conv.bias"}
    assert held == set(backbone.net.state_dict()) | projection
    moved = [n for n, p in parameters.items() if not torch.equal(p, network[saved["prefix"] + n])]
    assert len(moved) == len(parameters)
    assert hashes(root) == before  # nothing of theirs was edited, not even by compiling it


def test_the_report_says_what_was_shimmed(trained):
    _, _, report = trained
    shims = {shim["name"]: shim for shim in report.shims}
    assert shims["torchvision.models.resnet.model_urls"]["applied"]
    assert shims["cuda"]["applied"] != torch.cuda.is_available()
    assert all(shim["reason"] and bool(shim["effect"]) == shim["applied"] for shim in report.shims)
    text = report.describe()
    assert "shim torchvision.models.resnet.model_urls: put in" in text
    assert "gesture heads: dropped by name" in text
    assert "backbone in snapshot" in text and "all with a gradient" in text
    assert json.loads(report.to_json())["steps"] == 2
    assert not hasattr(nn.Module, "_stay_on_cpu") and "epoch 0 step 1" in report.output


def test_the_backbone_comes_back_from_their_snapshot(trained, backbone):
    root, _, _ = trained
    report = run_checkout(
        root,
        backbone,
        entry="test.py",
        arguments=["--gpu", "0", "--test_epoch", "0"],
        allow_projection=True,
    )
    (loaded,) = report.loaded
    assert loaded["prefix"] == "module.hand_backbone."
    assert loaded["tensors"] == len(backbone.net.state_dict()) + 2
    assert "pose [" in report.output and "came back" in report.describe()


@pytest.mark.slow
def test_a_checkout_that_freezes_the_backbone_is_refused(checkout, backbone):
    with pytest.raises(SwapError, match=r"parameters are frozen \(requires_grad=False\)"):
        run_checkout(checkout, backbone, arguments=["--gpu", "0", "--freeze"], **TRAIN)
    assert not (checkout / "output").exists()


def test_an_error_of_the_checkout_is_told_with_its_output():
    seen = {"finished": False, "error": "KeyError: 'annotations'", "missing_packages": ["einops"]}
    expected = r"(?s)failed: KeyError: 'annotations'\nNot installed here: einops.*last:\nbefore$"
    with pytest.raises(CheckoutError, match=expected):
        raise_failure(seen, "before")
    with pytest.raises(SwapError, match="^2 parameters$"):
        raise_failure({"finished": False, "error": "SwapError: 2 parameters"}, "")


def test_a_process_that_dies_is_told_with_its_output(checkout, backbone, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no torch here\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(CheckoutError, match=r"ended without a report:\nno torch here"):
        run_checkout(checkout, backbone, python=str(python), **TRAIN)
    python.write_text("#!/bin/sh\necho waiting\nexec sleep 20\n")
    with pytest.raises(CheckoutError, match=r"stopped after 0.5 s"):
        run_checkout(checkout, backbone, python=str(python), timeout_s=0.5, **TRAIN)


# --- what is refused before a process starts ----------------------------------------------------


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, backbone):
    with pytest.raises(CheckoutError, match="no checkout of EANet.*found nothing"):
        run_checkout(tmp_path, backbone, **TRAIN)
    with pytest.raises(CheckoutError, match="is not a folder"):
        find_main_folder(tmp_path / "none")
    assert find_main_folder(DOUBLE) == find_main_folder(DOUBLE / "main") == DOUBLE / "main"


def test_other_channels_are_refused_unless_projected(checkout, backbone):
    with pytest.raises(SwapError, match="EANet's checkout reads 2048 channels.*has 512"):
        run_checkout(checkout, backbone)


def test_impossible_options_are_refused(checkout, backbone):
    with pytest.raises(ValueError, match="reads no gesture logits"):
        run_checkout(checkout, backbone, gesture_logits="logits", **TRAIN)
    with pytest.raises(ValueError, match="gesture_logits is 'both'; possible: none, logits"):
        run_checkout(checkout, backbone, gesture_logits="both", **TRAIN)
    with pytest.raises(ValueError, match="how is 'edit'"):
        run_checkout(checkout, backbone, how="edit", **TRAIN)
    with pytest.raises(ValueError, match="name of the backbone's class is not known"):
        run_checkout(checkout, backbone, layout="author_fork", **TRAIN)


# --- parts ------------------------------------------------------------------------------------


class Slots(nn.Module):
    """A model with the attributes that matter."""

    def __init__(self, backbone):
        super().__init__()
        self.hand_backbone = nn.Conv2d(3, 4, 1)
        self.head = nn.Conv2d(2048, 1, 1)
        self.trainable_modules = [self.hand_backbone, self.head]
        self.backbone_given = backbone is not None


def test_the_attribute_and_the_list_are_both_replaced():
    model, new = Slots(None), nn.Conv2d(3, 5, 1)
    place_in_model(model, "hand_backbone", new)
    assert model.hand_backbone is new and model.trainable_modules == [new, model.head]
    model.trainable_modules = [model.head]
    with pytest.raises(LookupError, match="would leave the new backbone untrained"):
        place_in_model(model, "hand_backbone", nn.Conv2d(3, 5, 1))
    with pytest.raises(LookupError, match="no module 'encoder'"):
        place_in_model(model, "encoder", new)


def test_a_name_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.syspath_prepend(str(DOUBLE / "common" / "nets"))
    with pytest.raises(
        LookupError, match="module head of the checkout has no ResNetBackbone; it has"
    ):
        import sys

        monkeypatch.setitem(sys.modules, "torchgeometry", nn)
        swap_in(nn.Identity(), "head:ResNetBackbone", "class")


@pytest.fixture
def small(backbone):
    """A wrapped backbone with a projection."""
    return checkout_backbone(backbone, allow_projection=True)


def test_names_in_snapshots_are_the_backbones_own(small, backbone):
    parallel = nn.DataParallel(nn.ModuleDict({"hand_backbone": small}))
    state = parallel.state_dict()
    expected = [f"module.hand_backbone.{name}" for name in backbone.net.state_dict()]
    assert [name for name in state if "projection" not in name] == expected
    changed = {name: value + 1 for name, value in state.items()}
    assert not any(parallel.load_state_dict(changed, strict=True))
    for name, value in parallel.state_dict().items():
        torch.testing.assert_close(value, changed[name], rtol=0, atol=0)


def test_the_map_is_what_the_checkout_expects(small, backbone):
    image = torch.rand(1, 3, 256, 256)
    small.init_weights()
    with torch.no_grad():
        assert small.eval()(image).shape == (1, 2048, 8, 8)
        heads = build_gesture_heads(512, num_coarse=3, num_fine=4, hidden=8)
        plain = checkout_backbone(backbone, layout="author_fork", allow_projection=True)
        assert isinstance(plain, ForkBackbone) and plain(image).shape == (1, 2048, 8, 8)
    with pytest.raises(SwapError, match="projection"):
        checkout_backbone(
            GestureNetwork(backbone, heads),
            layout="author_fork",
            gesture_logits="logits",
            allow_projection=True,
        )


def test_the_forks_triple_has_the_logits_of_our_heads(monkeypatch):
    from adapters.eanet.checkout import backbone as module

    small_needs = module.BackboneNeeds(channels=512, stride=32)
    monkeypatch.setattr(module, "NEEDS", small_needs)
    network = GestureNetwork(
        build_backbone("hrnet_w16_tiny", size_px=64),
        build_gesture_heads(512, num_coarse=3, num_fine=4, hidden=8),
    ).eval()
    fork = checkout_backbone(network, layout="author_fork", gesture_logits="logits")
    image = torch.rand(2, 3, 64, 64)
    spec = network.backbone.input_spec
    normalised = (image - torch.tensor(spec.mean).view(3, 1, 1)) / torch.tensor(spec.std).view(
        3, 1, 1
    )
    features, main, sub = fork(image)
    expected = network(normalised)
    torch.testing.assert_close(main, expected.coarse_logits)
    torch.testing.assert_close(sub, expected.fine_logits)
    names = list(fork.state_dict())
    assert names[0] == "feature_encoder.conv1.weight"
    assert names[-8:-4] == [
        f"main_classifier.{n}" for n in ("0.weight", "0.bias", "3.weight", "3.bias")
    ]


def test_a_network_survives_packing(tmp_path, backbone):
    heads = build_gesture_heads(512, num_coarse=3, num_fine=4, hidden=8)
    torch.save(pack_network(GestureNetwork(backbone, heads)), tmp_path / "n.pth")
    back = unpack_network(torch.load(tmp_path / "n.pth", weights_only=True))
    assert back.backbone.input_spec == backbone.input_spec
    for name, value in GestureNetwork(backbone, heads).state_dict().items():
        assert torch.equal(back.state_dict()[name], value)


def step(watch: CheckoutWatch, parameters, loss) -> None:
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    watch.start()
    try:
        loss.backward()
        optimizer.step()
    finally:
        watch.stop()


def test_a_backbone_frozen_by_accident_is_refused():
    slot, head = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 1)
    both = [*slot.parameters(), *head.parameters()]
    with pytest.raises(SwapError, match=r"2 of 2 backbone parameters are frozen \(requires_grad"):
        step(CheckoutWatch(slot), both, head(slot(torch.ones(1, 2))).sum())


def test_a_backbone_outside_of_the_optimiser_is_refused():
    slot, head = nn.Linear(2, 2), nn.Linear(2, 1)
    with pytest.raises(SwapError, match="2 of 2 backbone parameters are not in the optimiser"):
        step(CheckoutWatch(slot), head.parameters(), head(slot(torch.ones(1, 2))).sum())


def test_a_backbone_without_gradient_or_with_a_broken_one_is_refused():
    slot, head = nn.Linear(2, 2), nn.Linear(2, 1)
    both = [*slot.parameters(), *head.parameters()]
    with pytest.raises(SwapError, match="2 of 2 backbone parameters got no gradient"):
        step(CheckoutWatch(slot), both, head(slot(torch.ones(1, 2)).detach()).sum())
    with pytest.raises(SwapError, match="is not finite"):
        step(CheckoutWatch(slot), both, head(slot(torch.full((1, 2), torch.inf))).sum())


def test_the_watch_leaves_nothing_behind():
    save, load = torch.save, nn.Module.load_state_dict
    watch = CheckoutWatch(nn.Linear(2, 2))
    watch.start()
    assert torch.save is not save
    watch.stop()
    assert torch.save is save and nn.Module.load_state_dict is load


def test_a_loaded_snapshot_without_the_backbone_is_refused():
    model = nn.ModuleDict({"hand_backbone": nn.Linear(2, 2), "head": nn.Linear(2, 1)})
    watch = CheckoutWatch(model["hand_backbone"])
    watch.start()
    try:
        model.load_state_dict(model.state_dict(), strict=False)
        assert watch.loaded == [{"prefix": "hand_backbone.", "tensors": 2}]
        with pytest.raises(SwapError, match="2 of 2 tensors of the backbone are not in the loaded"):
            model.load_state_dict({"head.bias": torch.zeros(1)}, strict=False)
    finally:
        watch.stop()


def test_a_written_snapshot_without_the_backbone_is_refused(tmp_path):
    model = nn.ModuleDict({"hand_backbone": nn.Linear(2, 2), "head": nn.Linear(2, 1)})
    watch = CheckoutWatch(model["hand_backbone"])
    watch.start()
    try:
        torch.save({"epoch": 3, "network": model.state_dict()}, tmp_path / "good.pth")
        with pytest.raises(SwapError, match="2 of 2 tensors of the backbone are not in the snap"):
            torch.save({"epoch": 3, "network": {"head.bias": torch.zeros(1)}}, tmp_path / "bad")
        torch.save({"optimizer": {}}, tmp_path / "other.pth")  # no snapshot of a network
    finally:
        watch.stop()
    assert [entry["epoch"] for entry in watch.saved] == [3]
    assert not (tmp_path / "bad").exists()


def test_a_snapshot_with_other_values_is_refused():
    slot = nn.Linear(2, 2)
    network = {f"module.hand_backbone.{n}": v.clone() for n, v in slot.state_dict().items()}
    assert require_tensors(network, slot.state_dict(), "snapshot") == "module.hand_backbone."
    network["module.hand_backbone.bias"] += 1
    with pytest.raises(SwapError, match="1 of 2 tensors .* differ from those in memory: bias"):
        require_tensors(network, slot.state_dict(), "snapshot")


def test_masks_are_negated_within_the_shimmed_function_only():
    mask = torch.tensor([True, False])
    assert with_boolean_subtraction(lambda m: 1 - m)(mask).tolist() == [False, True]
    assert with_boolean_subtraction(lambda m: 1 - m.float())(mask).tolist() == [0.0, 1.0]
    with pytest.raises(RuntimeError, match="bool"):
        1 - mask


def test_the_stand_in_for_torchgeometry_turns_there_and_back():
    turns = torch.randn(20, 3, dtype=torch.float64)
    turns = turns / turns.norm(dim=1, keepdim=True) * torch.linspace(0.01, 3.1, 20)[:, None]
    matrix = matrix_of_angle_axis(turns)
    assert matrix.shape == (20, 4, 4) and (matrix[:, 3] == torch.tensor([0, 0, 0, 1.0])).all()
    # float64, but near half a turn the vector is a quotient of small differences
    torch.testing.assert_close(angle_axis_of_matrix(matrix[:, :3]), turns, rtol=0, atol=1e-9)


def test_without_cuda_its_devices_are_the_cpu():
    seen = to_without_cuda(lambda self, *args, **kwargs: (args, kwargs))
    assert seen(None, "cuda:1", torch.float64) == (("cpu", torch.float64), {})
    assert seen(None, device=torch.device("cuda")) == ((), {"device": "cpu"})
    assert seen(None, torch.device("cpu")) == ((torch.device("cpu"),), {})
