"""A stored network in batches, in half precision, compiled and in ONNX Runtime gives its hands."""

import numpy as np
import pytest
import torch
from torch import nn

from adapters.pose import onnx as pose_onnx
from adapters.pose.checkpoint import load_pose_model, save_pose_model
from adapters.pose.hand_models import HandModelSource
from adapters.pose.inference import PoseInference
from adapters.pose.onnx import OUTPUTS, CropBatch, export_pose_onnx
from adapters.targets import SwapError, find_pose_target
from gesture_pretrain.models.backbone import build_backbone


def store(folder, name, options, size_px):
    target, source = find_pose_target(name), HandModelSource("open", "smplx")
    model = target.build_model(
        build_backbone("test_resnet", size_px=size_px), hand_models=source.load(), **options
    )
    return save_pose_model(
        model,
        folder,
        hand_source=source,
        hand_models=source.load(),
        target=name,
        options=options,
        size_px=size_px,
        heads=None,
        backbone_name="test_resnet (random)",
        head_classes=None,
    )


@pytest.fixture(scope="module")
def token_fusion(tmp_path_factory):
    options = {**find_pose_target("token_fusion").options("tiny"), "guidance": "none"}
    return store(tmp_path_factory.mktemp("tf") / "model", "token_fusion", options, 64)


@pytest.fixture(scope="module")
def eanet(tmp_path_factory):
    options = find_pose_target("eanet").options("tiny")
    return store(tmp_path_factory.mktemp("ea") / "model", "eanet", options, 64)


def crops(count, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=random)


def direct(folder, image, hand):
    model = load_pose_model(folder).model
    with torch.no_grad():
        return model(CropBatch(image, hand, hand), mode="predict")


def assert_near(found, expected, share):
    """Each field within a share of its largest value."""
    for name, one, other in zip(found._fields, found, expected, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype, name
        assert (one - other).abs().max() <= share * other.abs().max().clamp(min=1e-6), name


@pytest.mark.parametrize("network, sides", [("token_fusion", [0] * 5), ("eanet", [0, 1, 1, 0, 1])])
def test_batches_give_what_the_network_gives(request, network, sides):
    folder = request.getfixturevalue(network)
    image, hand = crops(5), torch.tensor(sides)
    expected = direct(folder, image, hand)
    # another number of images at once, and other operators: float32 rounding of a deep network
    for settings in ({"batch_size": 2}, {"batch_size": 8, "channels_last": True}):
        found = PoseInference(folder, device="cpu", **settings).predict(image.numpy(), hand)
        assert_near(found, expected, 1e-4)


def test_bfloat16_is_near_and_gives_float32(token_fusion):
    image = crops(3)
    expected = direct(token_fusion, image, torch.zeros(3).long())
    found = PoseInference(token_fusion, device="cpu", precision="bf16").predict(image)
    # 2**-8 of relative rounding, carried through some ten layers
    assert_near(found, expected, 10 * 2**-8)
    assert not torch.equal(found.mano_pose, expected.mano_pose)


def test_compiled_batches_have_one_shape(token_fusion, monkeypatch):
    shapes = []

    def compiled(model, **settings):
        assert settings == {"mode": "reduce-overhead", "dynamic": False}

        def forward(batch, mode):
            shapes.append(tuple(batch.image.shape))
            return model(batch, mode=mode)

        return forward

    monkeypatch.setattr(torch, "compile", compiled)
    image = crops(5)
    inference = PoseInference(token_fusion, device="cpu", compile="reduce-overhead", batch_size=3)
    found = inference.predict(image)
    assert shapes == [(3, 3, 64, 64)] * 2
    assert_near(found, direct(token_fusion, image, torch.zeros(5).long()), 1e-4)


def first_axes(file) -> dict:
    """Name or size of the first axis of every input and output."""
    import onnx

    graph = onnx.load(str(file)).graph
    axes = {each.name: each.type.tensor_type.shape.dim for each in (*graph.input, *graph.output)}
    return {name: shape[0].dim_param or shape[0].dim_value for name, shape in axes.items()}


@pytest.mark.slow
def test_onnx_gives_what_the_network_gives(token_fusion, tmp_path, monkeypatch):
    stored, file = load_pose_model(token_fusion), tmp_path / "hand.onnx"
    assert max(export_pose_onnx(stored, file).values()) < 1e-3
    axes = first_axes(file)
    assert {"image", *OUTPUTS} <= axes.keys() and set(axes.values()) == {"batch"}
    image, hand = crops(5), torch.zeros(5).long()
    found = PoseInference(file, engine="onnx", batch_size=2).predict(image, hand)
    assert_near(found, direct(token_fusion, image, hand), 1e-3)
    with pytest.raises(ValueError, match=r"ends in \.onnx"):
        export_pose_onnx(stored, tmp_path / "hand.pt")
    monkeypatch.setattr(pose_onnx, "pose_graph", lambda *_: file.read_bytes())
    with pytest.raises(SwapError, match="differ by more than 1e-12"):
        export_pose_onnx(stored, tmp_path / "other.onnx", tolerance=1e-12)
    assert not (tmp_path / "other.onnx").exists()


@pytest.mark.slow
def test_onnx_gives_both_hands_of_eanet(eanet, tmp_path):
    assert max(export_pose_onnx(load_pose_model(eanet), tmp_path / "hand.onnx").values()) < 1e-3
    assert first_axes(tmp_path / "hand.onnx") == dict.fromkeys(("image", "hand", *OUTPUTS), "batch")
    image, hand = crops(5), torch.tensor([0, 1, 1, 0, 1])
    inference = PoseInference(tmp_path / "hand.onnx", engine="onnx", batch_size=2)
    found = inference.predict(image, hand)
    expected = direct(eanet, image, hand)
    # untrained, all joints are at one depth: differences of float32 cells (4 * 6e-8 * 37.5 mm) are
    # left, of sums over a volume
    depth, other = found.joint_depth_rel_mm, expected.joint_depth_rel_mm
    assert (depth - other).abs().max() < 1e-3
    assert_near(found._replace(joint_depth_rel_mm=other), expected, 1e-3)


@pytest.mark.parametrize("network", ["token_fusion", "eanet"])
def test_prediction_is_one_graph(request, network):
    """What torch cannot trace in one piece costs time between the pieces, and has no ONNX graph."""
    model, image = load_pose_model(request.getfixturevalue(network)).model, crops(2)
    found = torch._dynamo.explain(pose_onnx.CropsToHands(model))(image, torch.zeros(2).long())
    assert (found.graph_count, found.graph_break_count) == (1, 0)


class Branching(nn.Module):
    """As many outputs as a value says."""

    def forward(self, batch, mode):
        return [batch.image] * int(batch.image.float().sum())


@pytest.mark.slow
def test_network_that_cannot_be_a_graph_is_named_without_a_dump_of_the_graph(capfd):
    with pytest.raises(SwapError, match="cannot write Branching as an ONNX graph.*no branches"):
        pose_onnx.pose_graph(Branching(), 64)
    output = capfd.readouterr()
    assert len(output.out + output.err) < 500  # thousands of lines before they were silenced


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"engine": "tensorrt"}, "engine is 'tensorrt'; possible: torch, onnx"),
        ({"precision": "int8"}, "precision is 'int8'; possible: fp32, bf16, fp16"),
        ({"compile": "fast"}, "compile is 'fast'"),
        ({"engine": "onnx", "precision": "bf16"}, "runs in fp32"),
        ({"precision": "fp16", "device": "cpu"}, "'fp16' needs CUDA"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_impossible_settings_are_named(token_fusion, settings, said):
    with pytest.raises(ValueError, match=said):
        PoseInference(token_fusion, **settings)


def test_wrong_crops_are_named(token_fusion):
    inference = PoseInference(token_fusion, device="cpu")
    with pytest.raises(TypeError, match="uint8, got torch.float32"):
        inference.predict(crops(1).float())
    for wrong in (np.zeros((2, 3, 32, 32), np.uint8), np.zeros((0, 3, 64, 64), np.uint8)):
        with pytest.raises(ValueError, match=r"the network takes \(N, 3, 64, 64\)"):
            inference.predict(wrong)
