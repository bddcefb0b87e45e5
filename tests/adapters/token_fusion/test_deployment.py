"""The network compiles as one graph, runs in bfloat16 and exports to ONNX."""

import numpy as np
import pytest
import torch
from torch import nn

from adapters.token_fusion import TARGET
from gesture_pretrain.hand.rotation import matrix_from_6d
from gesture_pretrain.models.backbone import build_backbone


@pytest.fixture
def model(hand_models):
    backbone = build_backbone("test_resnet", size_px=64)
    options = TARGET.options("tiny")
    return TARGET.build_model(backbone, hand_models=hand_models, camera_head=True, **options).eval()


@pytest.fixture
def image():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class ImageToHand(nn.Module):
    """Network and kinematics together, as a user would deploy them."""

    def __init__(self, model):
        super().__init__()
        self.network, self.kinematics = model.network, model.kinematics

    def forward(self, image):
        output = self.network(image)
        mesh = self.kinematics(matrix_from_6d(output.pose_6d), output.shape)
        return *output, mesh.vertices_m, mesh.joints_m


def test_it_compiles_as_one_graph_and_gives_the_same(model, image):
    """fullgraph=True raises at the first break in the graph."""
    whole = ImageToHand(model)
    torch._dynamo.reset()
    compiled = torch.compile(whole, fullgraph=True, backend="eager")
    for found, expected in zip(compiled(image), whole(image), strict=True):
        # the same operators; float32 rounding where they are put together differently
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    compiled(image)[0].sum().backward()
    assert model.network.volume.layers[0].weight.grad.abs().max() > 0


def test_bfloat16_autocast_keeps_coordinates_and_trains(model, image):
    """Coordinates, rotations and mesh stay float32; how far they move is in test_overfit.py."""
    whole = ImageToHand(model)
    with torch.autocast("cpu", torch.bfloat16):
        found = whole(image)
        names = (*model.network(image)._fields, "vertices_m", "joints_m")
    kinds = dict(zip(names, (value.dtype for value in found), strict=True))
    assert kinds["coarse_logits"] == torch.bfloat16
    assert {kinds[n] for n in kinds if not n.endswith("logits")} == {torch.float32}
    sum(value.float().sum() for value in found).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)


def test_onnx_gives_the_same(model, image, tmp_path):
    pytest.importorskip("onnxscript", reason="ONNX export needs the extra 'onnx'")
    runtime = pytest.importorskip("onnxruntime", reason="running ONNX needs the extra 'onnx'")
    whole, path = ImageToHand(model).eval(), tmp_path / "hand.onnx"
    batch = torch.export.Dim("batch", min=1, max=64)
    torch.onnx.export(
        whole,
        (image,),
        path,
        dynamo=True,
        dynamic_shapes={"image": {0: batch}},
        input_names=["image"],
        verbose=False,
        optimize=False,
    )
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    five = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for batch in (image, five):
        with torch.no_grad():
            expected = whole(batch)
        for found, value in zip(session.run(None, {"image": batch.numpy()}), expected, strict=True):
            # float32 in another order of summation through some 30 layers
            np.testing.assert_allclose(found, value.numpy(), atol=2e-4, rtol=1e-3)
