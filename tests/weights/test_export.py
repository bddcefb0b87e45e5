"""Export and load: the same bits in another process, timm's own names, all or nothing."""

import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from gesture_pretrain import export_backbone, load_backbone
from gesture_pretrain.files import DiskFull
from gesture_pretrain.models.architectures import ARCHS
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.feature_levels import FeatureSpec
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.record import DataRecord, WeightRecord

CLASSES = Taxonomy.from_index_labels(["fist", "flat", "point"], name="three")
DATA = DataRecord("embedded", "CC0-1.0", True, {"seed": 0})


def _network(arch: str, size_px: int = 64) -> GestureNetwork:
    """Random weights and batch-norm statistics that a training could have left."""
    backbone = build_backbone(arch, size_px=size_px, seed=3)
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=3, num_fine=3, hidden=16)
    generator = torch.Generator().manual_seed(1)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return GestureNetwork(backbone, heads).eval()


def _image(size_px: int = 64) -> torch.Tensor:
    return torch.randn(2, 3, size_px, size_px, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def network():
    return _network("hrnet_w16_tiny")


def _export(network, home, **options):
    return export_backbone(
        network, **{"tag": "test", "taxonomy": CLASSES, "data": DATA, "out": home, **options}
    )


_NEW_PROCESS = """
import sys, torch
from safetensors.torch import load_file, save_file
from gesture_pretrain import load_backbone
torch.set_num_threads(2)
out = load_backbone(sys.argv[1], with_heads=True)(load_file(sys.argv[2])["image"])
levels = {f"level_{name}": value.detach().clone() for name, value in out.features.levels.items()}
save_file({"pooled": out.features.pooled, "coarse": out.coarse_logits, "fine": out.fine_logits,
           **levels}, sys.argv[3])
"""


@pytest.mark.parametrize("arch", ["hrnet_w16_tiny", "resnet18"])
def test_new_process_gives_the_same_bits(arch, tmp_path):
    network = _network(arch)
    stored = _export(network, tmp_path / "home")
    safetensors.torch.save_file({"image": _image()}, tmp_path / "image.safetensors")
    script = [sys.executable, "-c", _NEW_PROCESS, stored.name]
    subprocess.run(
        [*script, tmp_path / "image.safetensors", tmp_path / "out.safetensors"],
        check=True,
        env={**os.environ, "GESTURE_PRETRAIN_HOME": str(tmp_path / "home")},
    )
    theirs = safetensors.torch.load_file(tmp_path / "out.safetensors")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # sums are split by thread: equal bits need equal counts
    with torch.no_grad():
        out = network(_image())
    torch.set_num_threads(threads)
    ours = {f"level_{name}": value for name, value in out.features.levels.items()}
    ours |= {"pooled": out.features.pooled, "coarse": out.coarse_logits, "fine": out.fine_logits}
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("arch", ["hrnet_w18_small", "resnet18"])
def test_timm_itself_reads_the_file_and_gives_the_same_features(arch, tmp_path):
    stored = _export(_network(arch), tmp_path)
    path = stored.path / "model.safetensors"
    theirs = timm.create_model(arch, num_classes=0, checkpoint_path=str(path)).eval()
    theirs.load_state_dict(safetensors.torch.load_file(path), strict=True)
    ours = load_backbone(stored.path)
    with torch.no_grad():
        features = ours(_image())
        difference = features.levels[ours.high] - theirs.forward_features(_image())
    assert difference.abs().max() == 0


class ValuesElsewhere(nn.Module):
    """Keeps and uses values that its state dict does not hold, in three ways."""

    feature_specs = {"stride16": FeatureSpec(3, 16), "final": FeatureSpec(3, 32)}

    def __init__(self, compute: bool):
        super().__init__()
        self.low = nn.Conv2d(3, 3, 16, stride=16)
        self.shift = torch.full((1,), 0.25)
        self.register_buffer("scale", torch.full((1,), 3.0), persistent=False)
        self.power = torch.linspace(1, 2, 3)[1].item() if compute else 1.5

    def forward_levels(self, image):
        low = (self.low(image) * self.scale + self.shift).abs() ** self.power
        return {"stride16": low, "final": nn.functional.avg_pool2d(low, 2)}


@pytest.mark.parametrize("arch", ["test_coatnet", "test_vit", "computes", "keeps"])
def test_networks_with_values_outside_their_state_dict(arch, tmp_path, monkeypatch):
    """What no file holds must be as the architecture makes it."""
    for name in ("computes", "keeps"):
        monkeypatch.setitem(ARCHS, name, partial(ValuesElsewhere, name == "computes"))
    size_px = 160 if arch.startswith("test") else 64
    network = _network(arch, size_px)
    loaded = load_backbone(_export(network, tmp_path).path)
    assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])
    with torch.no_grad():
        difference = loaded(_image(size_px)).pooled - network(_image(size_px)).features.pooled
    assert difference.abs().max() == 0


def test_card_says_what_the_network_is(network, tmp_path):
    stored = _export(
        network, tmp_path, metrics={"val/coarse_top1": 0.5}, config={"seed": 0}, commit="abc"
    )
    card = WeightRecord.from_json((stored.path / "card.json").read_text("utf-8"))
    assert card == stored.record
    assert card.taxonomy.sha256 == CLASSES.sha256 and card.taxonomy.fine_names == CLASSES.fine_names
    assert (card.heads.hidden, card.heads.num_fine) == (16, 3)
    assert card.feature_specs["final"].channels == network.backbone.pooled_channels
    assert card.metrics == {"val/coarse_top1": 0.5} and card.commit == "abc" and card.data == DATA
    assert {"torch", "timm", "python"} <= set(card.library_versions)
    readme = (stored.path / "README.md").read_text("utf-8")
    assert f'load_backbone("{stored.name}")' in readme and "synthetic" in readme


def test_loaded_network_is_ready_to_use(network, tmp_path):
    loaded = load_backbone(_export(network, tmp_path).path)
    assert not loaded.training and loaded.input_spec == network.backbone.input_spec
    assert loaded.feature_specs == network.backbone.feature_specs
    loaded.train()(_image()).pooled.sum().backward()
    # The stage-4 branches all reach the pooled feature, so every parameter must learn
    assert [name for name, p in loaded.named_parameters() if p.grad is None] == []


def test_input_spec_comes_from_the_card(tmp_path):
    """A network trained with other statistics must not come back with ImageNet's."""
    backbone = build_backbone("hrnet_w16_tiny", size_px=96)
    backbone.input_spec = backbone.input_spec._replace(mean=(0.5,) * 3, std=(0.25,) * 3)
    loaded = load_backbone(export_backbone(backbone, tag="grey", out=tmp_path).path)
    assert loaded.input_spec == backbone.input_spec


def test_loading_leaves_the_random_generator_alone(network, tmp_path):
    path = _export(network, tmp_path).path
    state = torch.random.get_rng_state()
    load_backbone(path, with_heads=True)
    assert torch.equal(state, torch.random.get_rng_state())


def test_equal_weights_give_equal_files(network, tmp_path):
    first, second = _export(network, tmp_path / "a"), _export(network, tmp_path / "b")
    assert first.record.files == second.record.files


def test_control_labels_are_on_the_card(network, tmp_path):
    assert _export(network, tmp_path).record.label_variant == "gesture"
    shuffled = _export(network, tmp_path, tag="control", taxonomy=CLASSES.shuffled(7))
    assert shuffled.record.label_variant == "shuffled7"


def test_backbone_alone(network, tmp_path):
    stored = export_backbone(network.backbone, tag="bare", out=tmp_path)
    assert sorted(p.name for p in stored.path.iterdir()) == [
        "README.md",
        "card.json",
        "model.safetensors",
    ]
    with pytest.raises(ValueError, match="without gesture heads"):
        load_backbone(stored.path, with_heads=True)


def test_existing_name_is_kept_unless_told(network, tmp_path):
    stored = _export(network, tmp_path, notes="first")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        _export(network, tmp_path, notes="second")
    assert "first" in (stored.path / "card.json").read_text("utf-8")
    _export(network, tmp_path, notes="second", overwrite=True)
    assert "second" in (stored.path / "card.json").read_text("utf-8")
    assert os.listdir(tmp_path) == [stored.name]


@pytest.mark.parametrize("tag", ["", "a.b", "../up", "a b", "json"])
def test_impossible_tag(network, tmp_path, tag):
    with pytest.raises(ValueError, match="tag"):
        _export(network, tmp_path, tag=tag)


def test_nothing_is_left_of_an_export_that_fails(network, tmp_path):
    with pytest.raises(ValueError, match="card.config.lr"):
        _export(network, tmp_path, config={"lr": object()})
    with pytest.raises(ValueError, match="coarse head has 3 outputs.*taxonomy 'two'"):
        _export(network, tmp_path, taxonomy=Taxonomy.from_index_labels(["a", "b"], name="two"))
    with pytest.raises(ValueError, match="give both or neither"):
        _export(network, tmp_path, taxonomy=None)
    with pytest.raises(TypeError, match="from_index_meta"):
        _export(network, tmp_path, data={"name": "x"})
    with pytest.raises(TypeError, match="Pass the network"):
        _export(nn.Sequential(network), tmp_path)
    assert os.listdir(tmp_path) == []


def test_weights_that_are_not_finite_are_refused(tmp_path):
    network = _network("hrnet_w16_tiny")
    with torch.no_grad():
        network.backbone.net.conv1.weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="conv1.weight contains values that are not finite"):
        _export(network, tmp_path)
    assert os.listdir(tmp_path) == []


def test_network_that_its_name_does_not_rebuild_is_refused(tmp_path):
    """A network changed by hand would be exported under a name that builds another one."""
    backbone = build_backbone("resnet18", size_px=64)
    backbone.net.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
    with pytest.raises(ValueError, match="do not fit resnet18"):
        export_backbone(backbone, tag="changed", out=tmp_path)
    assert os.listdir(tmp_path) == []


def test_full_disk_while_exporting(network, tmp_path, monkeypatch):
    stored = _export(network, tmp_path, notes="first")

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gesture_pretrain.files.atomic.os.fsync", full)
        with pytest.raises(DiskFull, match=rf"{stored.name} \(.* MB needed\).*unchanged"):
            _export(network, tmp_path, overwrite=True)
    assert os.listdir(tmp_path) == [stored.name]
    load_backbone(stored.path)


def _export_often(home, seed, tags, queue):
    torch.set_num_threads(1)
    backbone = build_backbone("hrnet_w16_tiny", size_px=64, seed=seed)
    for tag, overwrite in tags:
        try:
            export_backbone(backbone, tag=tag, out=home, notes=f"seed {seed}", overwrite=overwrite)
            queue.put((seed, tag, "kept"))
        except FileExistsError:
            queue.put((seed, tag, "refused"))


def test_two_processes_export_at_once(tmp_path):
    """One name without overwrite has one winner; with it the folder is always of one writer."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    queue = context.Queue()
    tags = [
        [("same", False), ("own_1", False), *[("shared", True)] * 6],
        [("same", False), ("own_2", False), *[("shared", True)] * 6],
    ]
    writers = [
        context.Process(target=_export_often, args=(tmp_path, seed, tags[seed], queue))
        for seed in range(2)
    ]
    for writer in writers:
        writer.start()
    outcomes = []
    while len(outcomes) < 16:
        outcomes.append(queue.get(timeout=120))
        shared = tmp_path / "hrnet_w16_tiny.shared"
        if shared.exists():
            load_backbone(shared)  # while it is being replaced
    for writer in writers:
        writer.join()
    same = [outcome for _, tag, outcome in outcomes if tag == "same"]
    assert sorted(same) == ["kept", "refused"]
    assert sum(outcome == "kept" for _, _, outcome in outcomes) == 15
    assert sorted(os.listdir(tmp_path)) == [
        f"hrnet_w16_tiny.{tag}" for tag in ("own_1", "own_2", "same", "shared")
    ]
    for name in os.listdir(tmp_path):
        load_backbone(tmp_path / name)


def test_reader_takes_the_new_card_if_the_folder_is_replaced_meanwhile(
    network, tmp_path, monkeypatch
):
    """The old card with the new weights is a hash mismatch only where the card stays the same."""
    from gesture_pretrain.weights import folder as weight_folder

    path = _export(network, tmp_path).path
    read, calls = weight_folder.open_weights, []

    def stale_first(folder):
        stored = read(folder)
        calls.append(1)
        if len(calls) > 1:
            return stored
        file = replace(stored.record.files["model.safetensors"], sha256="0" * 64)
        files = {**stored.record.files, "model.safetensors": file}
        return replace(stored, record=replace(stored.record, files=files))

    monkeypatch.setattr(weight_folder, "open_weights", stale_first)
    weight_folder.load_weights(path)
    assert len(calls) == 3


def test_card_is_readable_json_for_other_tools(network, tmp_path):
    stored = _export(network, tmp_path)
    card = json.loads((stored.path / "card.json").read_text("utf-8"))
    assert card["name"] == stored.name and card["input"]["size_px"] == 64
