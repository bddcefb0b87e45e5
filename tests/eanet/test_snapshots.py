"""Reading and writing snapshots: nothing passes in silence."""

import io
import pickle

import pytest
import torch
from torch import nn

from eanet import ResNet50Map
from eanet.checkpoint import (
    SnapshotError,
    load_backbone,
    load_fork_encoder,
    load_snapshot,
    read_file,
    save_snapshot,
)
from eanet.key_maps import LAYOUTS, their_names

ONE_TENSOR = "module.hand_rotation_net.rcam_out.0.weight"
ONE_COUNTER = "module.hand_position_net.EABlock.conv_r2.1.num_batches_tracked"


@pytest.fixture
def snapshot(build_tiny, tmp_path):
    """A snapshot as read from disk; its dict of tensors may be changed."""
    return dict(read_file(save_snapshot(tmp_path / "s.pth.tar", build_tiny(), epoch=29)))


def _refused(model, content, **options) -> str:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(SnapshotError) as error:
        load_snapshot(model, content, **options)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} changed although the load was refused"
    return str(error.value)


def _scramble(model: nn.Module) -> None:
    with torch.no_grad():
        for value in model.parameters():
            value.add_(1)


@pytest.mark.parametrize(
    ("layout", "fusion"), [("upstream", "none"), ("author_fork", "none"), ("author_fork", "logits")]
)
def test_saved_and_loaded_weights_are_the_same_bit_for_bit(build_tiny, tmp_path, layout, fusion):
    model, other = build_tiny(gesture_fusion=fusion), build_tiny(gesture_fusion=fusion)
    _scramble(other)
    path = save_snapshot(tmp_path / "snapshot_3.pth.tar", model, epoch=3, layout=layout)
    assert load_snapshot(other, path, layout=layout).epoch == 3
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert [file.name for file in tmp_path.iterdir()] == ["snapshot_3.pth.tar"]


def test_snapshot_has_the_published_form(snapshot, build_tiny):
    """Every name prefixed, in the model's order, and Adam's state with one group."""
    assert set(snapshot) == {"epoch", "network", "optimizer"}
    assert list(snapshot["network"])[0] == "module.hand_backbone.0.weight"
    assert all(name.startswith("module.hand_") for name in snapshot["network"])
    adam = torch.optim.Adam(build_tiny().parameters(), lr=1.0)
    adam.load_state_dict(snapshot["optimizer"])
    assert len(adam.param_groups) == 1 and adam.param_groups[0]["lr"] == 1e-4


def test_optimiser_state_survives(build_tiny, tiny_images, tmp_path):
    model = build_tiny()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    model(tiny_images).rjoint_img.sum().backward()
    adam.step()
    path = save_snapshot(tmp_path / "s.pth.tar", model, epoch=0, optimizer=adam)
    stored = load_snapshot(build_tiny(), path).optimizer
    assert stored["param_groups"] == adam.state_dict()["param_groups"]
    torch.testing.assert_close(stored["state"], adam.state_dict()["state"], rtol=0, atol=0)


def test_optimiser_without_the_backbone_is_refused(build_tiny, tmp_path):
    model = build_tiny()
    partial = torch.optim.Adam(model.position_net.parameters())
    with pytest.raises(ValueError, match="needs one group with all"):
        save_snapshot(tmp_path / "s.pth.tar", model, epoch=0, optimizer=partial)
    backwards = torch.optim.Adam(list(model.parameters())[::-1])
    with pytest.raises(ValueError, match="in the order"):
        save_snapshot(tmp_path / "s.pth.tar", model, epoch=0, optimizer=backwards)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file(build_tiny, tmp_path, monkeypatch):
    path = save_snapshot(tmp_path / "s.pth.tar", build_tiny(), epoch=1)
    before = path.read_bytes()

    def broken(content, file):
        open(file, "wb").write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        save_snapshot(path, build_tiny(), epoch=2)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_no_prefix_is_refused_unless_declared(build_tiny, snapshot):
    network = {k.removeprefix("module."): v for k, v in snapshot["network"].items()}
    plain = {**snapshot, "network": network}
    message = _refused(build_tiny(), plain)
    assert "do not start with 'module.'" in message and "prefix=''" in message
    load_snapshot(build_tiny(), plain, prefix="")


def test_half_prefixed_names_are_refused(build_tiny, snapshot):
    value = snapshot["network"].pop(ONE_TENSOR)
    snapshot["network"][ONE_TENSOR.removeprefix("module.")] = value
    assert "1 of " in _refused(build_tiny(), snapshot)


def test_missing_tensor_is_named(build_tiny, snapshot):
    del snapshot["network"][ONE_TENSOR]
    message = _refused(build_tiny(), snapshot)
    assert "1 missing in the file: hand_rotation_net.rcam_out.0.weight" in message


def test_unexpected_tensor_is_named(build_tiny, snapshot):
    snapshot["network"]["module.hand_backbone.fc.weight"] = torch.zeros(2)
    assert "1 unexpected in the file: hand_backbone.fc.weight" in _refused(build_tiny(), snapshot)


def test_wrong_shape_is_named_with_both_shapes(build_tiny, snapshot):
    snapshot["network"][ONE_TENSOR] = torch.zeros(3, 17)
    assert "rcam_out.0.weight (3, 17) instead of (3, 16)" in _refused(build_tiny(), snapshot)


def test_integers_in_place_of_weights_are_refused(build_tiny, snapshot):
    snapshot["network"][ONE_TENSOR] = torch.zeros(3, 16, dtype=torch.int64)
    assert "torch.int64 instead of torch.float32" in _refused(build_tiny(), snapshot)


def test_absent_counter_is_refused_with_its_reason(build_tiny, snapshot):
    del snapshot["network"][ONE_COUNTER]
    message = _refused(build_tiny(), snapshot)
    assert "num_batches_tracked absent" in message and "counters_may_be_absent" in message
    assert "missing in the file" not in message


def test_every_fault_is_told_at_once(build_tiny, snapshot):
    del snapshot["network"][ONE_TENSOR]
    snapshot["network"]["module.more"] = torch.zeros(1)
    message = _refused(build_tiny(), snapshot)
    assert "missing" in message and "unexpected" in message


@pytest.mark.parametrize("key", ["network", "epoch", "optimizer"])
def test_missing_part_of_the_container_is_refused(build_tiny, snapshot, key):
    del snapshot[key]
    assert f"no {key!r} in it" in _refused(build_tiny(), snapshot)


def test_layouts_are_not_confused(build_tiny, snapshot):
    assert "missing" in _refused(build_tiny(), snapshot, layout="author_fork")
    with pytest.raises(ValueError, match="unknown snapshot layout 'fork'"):
        load_snapshot(build_tiny(), snapshot, layout="fork")


def test_upstream_has_no_place_for_gesture_logits(build_tiny, tmp_path):
    with pytest.raises(ValueError, match="gesture logits exist in 'author_fork' only"):
        save_snapshot(tmp_path / "s.pth.tar", build_tiny(gesture_fusion="logits"), epoch=0)


def test_a_pickle_with_code_is_not_opened(tmp_path):
    class Runs:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"network": Runs()}, tmp_path / "bad.pth.tar")
    with pytest.raises(pickle.UnpicklingError, match="[Ww]eights"):
        read_file(tmp_path / "bad.pth.tar")


@pytest.mark.parametrize(
    ("ours", "layout", "theirs"),
    [
        ("backbone.layer1.0.conv1.weight", "upstream", "hand_backbone.layer1.0.conv1.weight"),
        (
            "position_net.extract_adapt.left_stem.0.bias",
            "upstream",
            "hand_position_net.EABlock.conv_l.0.bias",
        ),
        (
            "position_net.extract_adapt.adapt_right.cross.context_pos_embed",
            "upstream",
            "hand_position_net.EABlock.Adapt_r.CA_T.pos_embed2",
        ),
        (
            "rotation_net.relative_translation.2.weight",
            "author_fork",
            "rotation_net.root_relative.2.weight",
        ),
        ("gesture_heads.sub.3.bias", "author_fork", "backbone.sub_classifier.3.bias"),
        (
            "rotation_net.gesture_fusion.main.class_embed.weight",
            "author_fork",
            "rotation_net.main_cross_scalar.pos_b.weight",
        ),
    ],
)
def test_names_are_those_of_the_published_snapshots(ours, layout, theirs):
    """The whole list is compared where the reference is at hand, in test_golden_network.py."""
    assert their_names([ours], layout) == {ours: theirs}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_two_tensors_share_a_name(build_tiny, layout):
    fusion = "logits" if layout == "author_fork" else "none"
    names = their_names(build_tiny(gesture_fusion=fusion).state_dict(), layout)
    assert len(set(names.values())) == len(names)


@pytest.fixture(scope="module")
def resnet():
    return ResNet50Map()


def test_torchvision_resnet_loads_without_its_classifier(resnet):
    tensors = {f"x.{k}": v + 1 for k, v in resnet.state_dict().items()}
    tensors["x.fc.weight"] = torch.zeros(2)
    with pytest.raises(SnapshotError, match="1 unexpected in the file: fc.weight"):
        load_backbone(resnet, tensors, prefix="x.")
    load_backbone(resnet, tensors, prefix="x.", drop=("fc.",))
    assert torch.equal(resnet.layer4[2].conv3.weight, tensors["x.layer4.2.conv3.weight"])


def test_old_resnet_file_has_no_counters(resnet):
    tensors = {
        k: v.clone() for k, v in resnet.state_dict().items() if not k.endswith("batches_tracked")
    }
    with pytest.raises(SnapshotError, match="53 num_batches_tracked absent: bn1"):
        load_backbone(resnet, tensors)
    load_backbone(resnet, tensors, counters_may_be_absent=True)
    del tensors["bn1.bias"]
    with pytest.raises(SnapshotError, match="1 missing in the file: bn1.bias"):
        load_backbone(resnet, tensors, counters_may_be_absent=True)


def _encoder_file(model) -> dict[str, torch.Tensor]:
    backbone = {f"feature_encoder.{k}": v + 1 for k, v in model.backbone.state_dict().items()}
    heads = {
        k.replace("main.", "main_classifier.").replace("sub.", "sub_classifier."): v + 1
        for k, v in model.gesture_heads.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save({**backbone, **heads}, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_gesture_encoder_of_the_fork(build_tiny):
    model = build_tiny(gesture_fusion="logits")
    tensors = _encoder_file(model)
    load_fork_encoder(model, tensors, drop_heads=False)
    assert torch.equal(model.backbone[0].weight, tensors["feature_encoder.0.weight"])
    assert torch.equal(model.gesture_heads.sub[3].bias, tensors["sub_classifier.3.bias"])


def test_gesture_encoder_for_the_backbone_only(build_tiny):
    tensors = _encoder_file(build_tiny(gesture_fusion="logits"))
    model = build_tiny()
    with pytest.raises(SnapshotError, match="no gesture heads"):
        load_fork_encoder(model, tensors, drop_heads=False)
    load_fork_encoder(model, tensors, drop_heads=True)
    assert torch.equal(model.backbone[0].weight, tensors["feature_encoder.0.weight"])


def test_gesture_encoder_with_other_classes_is_refused(build_tiny):
    tensors = _encoder_file(build_tiny(gesture_fusion="logits", num_main=4))
    with pytest.raises(SnapshotError, match=r"main_classifier.3.weight \(4, 8\) instead of"):
        load_fork_encoder(build_tiny(gesture_fusion="logits"), tensors, drop_heads=False)
