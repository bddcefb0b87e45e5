"""Reading weight files: every promised refusal, and that a refused file changes nothing."""

import os
import pickle
import socket
import threading
import time
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights import initial_weights
from gesture_pretrain.weights.initial_weights import (
    WeightFileError,
    WeightMismatchError,
    WeightsUnavailableError,
    load_initial_weights,
    read_weight_file,
)
from gesture_pretrain.weights.ledger import fingerprint
from gesture_pretrain.weights.starting_backbone import build_starting_backbone

ARCH, SIZE_PX = "hrnet_w16_tiny", 32


@pytest.fixture
def backbone():
    return build_backbone(ARCH, size_px=SIZE_PX)


@pytest.fixture(scope="module")
def weights():
    """Other weights than those of `backbone`."""
    return build_backbone(ARCH, size_px=SIZE_PX, seed=9).net.state_dict()


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_file_comes_back_bit_for_bit(weights, tmp_path, ending):
    path = tmp_path / f"weights{ending}"
    save_file(weights, path) if ending == ".safetensors" else torch.save(weights, path)
    loaded = build_starting_backbone(ARCH, init=path, size_px=SIZE_PX)
    assert fingerprint(loaded.net.state_dict()) == fingerprint(weights)
    assert loaded.ledger.matched_share == 1.0 and loaded.ledger.is_complete


def test_our_own_training_checkpoint(backbone, weights, tmp_path):
    names = {f"network.backbone.net.{name}": tensor for name, tensor in weights.items()}
    names["network.heads.coarse.layers.0.weight"] = torch.ones(3)
    torch.save({"state_dict": names, "iteration": 7}, tmp_path / "run.pth")
    ledger = load_initial_weights(backbone, tmp_path / "run.pth")
    assert ledger.stripped == ("network.", "backbone.", "net.")
    assert ledger.dropped_by_name == ("network.heads.coarse.layers.0.weight",)
    assert fingerprint(backbone.net.state_dict()) == fingerprint(weights)


def test_timm_classifier_is_dropped_by_name(tmp_path):
    save_file(timm.create_model("mobilenetv3_small_050").state_dict(), tmp_path / "m.safetensors")
    loaded = build_starting_backbone("mobilenetv3_small_050", init=tmp_path / "m.safetensors")
    stages = {name.split(".")[0] for name in loaded.ledger.dropped_by_name}
    assert stages == {"classifier", "conv_head"}


def test_file_of_an_older_torch_has_no_counters(backbone, weights, tmp_path):
    old = {n: t for n, t in weights.items() if not n.endswith("num_batches_tracked")}
    save_file(old, tmp_path / "old.safetensors")
    ledger = load_initial_weights(backbone, tmp_path / "old.safetensors")
    assert all(name.endswith("num_batches_tracked") for name in ledger.fresh)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop("conv1.weight"), "missing: conv1.weight"),
        (lambda w: w.update(extra=torch.ones(1)), "unexpected: extra"),
        (lambda w: w.update({"conv1.weight": torch.ones(1)}), "wrong_shape: conv1.weight"),
        (lambda w: w["bn1.weight"].fill_(float("nan")), "bn1.weight contains NaN"),
    ],
)
def test_anything_undeclared_is_an_error_and_nothing_is_loaded(
    backbone, weights, tmp_path, change, told
):
    changed = {name: tensor.clone() for name, tensor in weights.items()}
    change(changed)
    save_file(changed, tmp_path / "w.safetensors")
    before = fingerprint(backbone.net.state_dict())
    with pytest.raises(WeightMismatchError, match=told):
        load_initial_weights(backbone, tmp_path / "w.safetensors")
    assert fingerprint(backbone.net.state_dict()) == before
    assert backbone.ledger is None


def test_what_the_caller_declares_is_accepted(backbone, weights, tmp_path):
    changed = {n: t for n, t in weights.items() if not n.startswith("final_layer.")}
    changed["extra.weight"] = torch.ones(1)
    save_file(changed, tmp_path / "w.safetensors")
    ledger = load_initial_weights(
        backbone, tmp_path / "w.safetensors", allow_fresh=["final_layer."], drop=["extra."]
    )
    assert all(name.startswith("final_layer.") for name in ledger.fresh)
    assert ledger.dropped_by_name == ("extra.weight",)


class Intruder:
    """What a malicious pickle does: it names a function to be called on reading."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_pickle_that_calls_something_is_refused_before_it_runs(tmp_path):
    torch.save({"state_dict": OrderedDict(), "x": Intruder(tmp_path / "ran")}, tmp_path / "w.pth")
    with pytest.raises(WeightFileError, match="w.pth was refused.*mkdir") as caught:
        read_weight_file(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()
    assert "safetensors" in str(caught.value) and "weights_only" not in str(caught.value)


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_torn_file_is_named(weights, tmp_path, ending):
    path = tmp_path / f"w{ending}"
    save_file(weights, path) if ending == ".safetensors" else torch.save(weights, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightFileError, match=r"\(1000 bytes\) cannot be read.*truncated"):
        read_weight_file(path)


def test_a_half_file_is_told_in_whole_sentences(weights, tmp_path):
    """The first line of torch's advice came too, and ended in "your checkpoint file is."."""
    torch.save(weights, tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightFileError, match=r"central directory\. It is truncated") as caught:
        read_weight_file(tmp_path / "w.pth")
    assert "checkpoint file is" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "starts with b'<html>not found<'"),
        (b"hello world", "starts with b'hello world'"),  # was "cannot be read: 101"
        (b"\x80\x02e", "cannot be read: IndexError"),  # a pickle that ends in its first list
    ],
)
def test_what_is_no_weight_file_at_all(tmp_path, content, told):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightFileError, match=f"{told}.*truncated"):
        read_weight_file(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
def test_a_pickle_that_torch_did_not_write(tmp_path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": 1}, protocol=4))
    with pytest.raises(WeightFileError, match="refused.*Reason: Unsupported operand"):
        read_weight_file(tmp_path / "w.pth")


def test_files_of_torch_before_1_6(weights, tmp_path):
    torch.save(weights, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert fingerprint(read_weight_file(tmp_path / "w.pth")) == fingerprint(weights)
    text = {"_use_new_zipfile_serialization": False, "pickle_protocol": 0}
    torch.save({}, tmp_path / "text.pth", **text)
    with pytest.raises(WeightFileError, match="refused.*Reason: Unsupported operand"):
        read_weight_file(tmp_path / "text.pth")


def test_absent_file_and_unknown_ending(tmp_path):
    with pytest.raises(WeightFileError, match="existing file"):
        load_initial_weights(build_backbone(ARCH, size_px=SIZE_PX), "absent.pth")
    (tmp_path / "w.onnx").write_bytes(b"x")
    with pytest.raises(WeightFileError, match="w.onnx: weight files end in .safetensors"):
        read_weight_file(tmp_path / "w.onnx")


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ({"epoch": 3}, "'epoch'. are not tensors. Tensors must be at the top"),
        ([1, 2], "contains list, not tensors by name. Tensors must be at the top"),
        ({}, "contains an empty dict, not tensors"),
        ({"state_dict": {}}, "contains an empty dict under state_dict, not tensors"),
        ({"state_dict": {"a": torch.ones(1)}, "model": {"a": torch.ones(1)}}, "may be under"),
    ],
)
def test_checkpoint_without_one_place_for_tensors(backbone, tmp_path, stored, told):
    torch.save(stored, tmp_path / "w.pth")
    with pytest.raises(WeightFileError, match=told):
        load_initial_weights(backbone, tmp_path / "w.pth")


def test_timm_weights_out_of_reach_say_how_to_give_a_file(monkeypatch):
    """The hub is asked once; timm's own download would try again and again."""

    def unreachable(*args, **options):
        raise ConnectionError("no route")

    def downloads(*args, **options):
        raise AssertionError("timm was asked to download")

    monkeypatch.setattr(initial_weights, "_cached_file", lambda hub_id: None)
    monkeypatch.setattr(initial_weights.huggingface_hub, "get_hf_file_metadata", unreachable)
    backbone = build_backbone("resnet18", size_px=64)
    monkeypatch.setattr(timm, "create_model", downloads)
    with pytest.raises(WeightsUnavailableError, match="(?s)no route.*init='resnet18.safetensors'"):
        initial_weights.load_timm_weights(backbone, "resnet18")


def _hub_at(monkeypatch, port: int) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = f"http://127.0.0.1:{port}/model.safetensors"
    monkeypatch.setattr(initial_weights.huggingface_hub, "hf_hub_url", lambda *names: url)


def test_the_hubs_client_gives_up_soon_without_a_network(monkeypatch):
    """The real client on a port where no one listens; timm's download takes 46 s there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _hub_at(monkeypatch, port)
    start = time.perf_counter()
    with pytest.raises(WeightsUnavailableError, match="cannot be downloaded"):
        build_starting_backbone("resnet18", init="timm", size_px=64)
    assert time.perf_counter() - start < 10


def test_an_answer_of_the_hub_is_not_an_error(monkeypatch):
    """A repository without model.safetensors may have pytorch_model.bin: that is timm's affair."""

    class NotFound(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), NotFound) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        _hub_at(monkeypatch, server.server_port)
        initial_weights._ask_hub("timm/some")


@pytest.fixture
def cached(monkeypatch, tmp_path):
    """Function that puts weights of timm into the local cache."""
    monkeypatch.setattr(
        initial_weights.huggingface_hub,
        "try_to_load_from_cache",
        lambda repo, name: str(tmp_path / name) if name == "model.safetensors" else None,
    )

    def put(arch):
        published = timm.create_model(arch)
        save_file(published.state_dict(), tmp_path / "model.safetensors")
        return published

    return put


def test_position_embeddings_are_resampled_to_the_size(cached):
    """As of DINOv2, whose weights were published for 518 px."""
    published = cached("test_vit")
    loaded = build_starting_backbone("test_vit", init="timm", size_px=64)
    assert published.pos_embed.shape[1] > loaded.net.pos_embed.shape[1] == 1 + 4 * 4
    assert torch.equal(loaded.net.blocks[0].attn.qkv.weight, published.blocks[0].attn.qkv.weight)


def test_timm_weights_from_the_local_cache(cached):
    """A cached file is used without asking the network."""
    published = cached("resnet18")
    loaded = build_starting_backbone("resnet18", init="timm", size_px=64)
    assert torch.equal(loaded.net.conv1.weight, published.conv1.weight)
    assert loaded.ledger.dropped_by_name == ("fc.weight", "fc.bias")
    assert loaded.ledger.source.startswith("timm resnet18.")


def test_architectures_without_published_weights():
    with pytest.raises(WeightsUnavailableError, match="hrnet_w16_tiny is not a timm model"):
        build_starting_backbone(ARCH, init="timm", size_px=SIZE_PX)
