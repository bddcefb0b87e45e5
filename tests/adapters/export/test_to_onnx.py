"""The backbone as an ONNX graph, in onnxruntime."""

import builtins
import copy
import json

import numpy as np
import pytest
import torch

from adapters.export import to_onnx as adapter
from adapters.export.to_onnx import TOLERANCE, export_onnx, relative_difference
from adapters.targets import SwapError


@pytest.fixture(
    scope="module",
    params=["test_resnet", pytest.param("hrnet_w16_tiny", marks=pytest.mark.slow)],
)
def exported(request, tmp_path_factory):
    """One export of each network for all tests: tracing an HRNet takes seconds."""
    pytest.importorskip("onnx", reason="onnx is not installed: pip install -e .[onnx]")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from gesture_pretrain.models.backbone import build_backbone

    backbone = build_backbone(request.param, size_px=64).train()
    path = tmp_path_factory.mktemp("onnx") / "backbone.onnx"
    report = export_onnx(backbone, path)
    assert backbone.training, "the export must leave the mode of the network"
    return backbone, path, report


def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def test_onnxruntime_gives_torch_numbers_at_any_batch(exported):
    backbone, path, _ = exported
    run = session(path)
    names = [output.name for output in run.get_outputs()]
    assert names == [*backbone.feature_specs, "pooled"]
    for batch in (1, 2, 5):
        image = torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(batch))
        backbone.eval()
        with torch.no_grad():
            features = backbone(image)
        expected = [*features.levels.values(), features.pooled]
        for one, other in zip(expected, run.run(None, {"image": image.numpy()}), strict=True):
            difference = np.abs(one.numpy() - other).max() / np.abs(one.numpy()).max()
            assert difference < TOLERANCE


def test_the_free_axis_is_called_batch(exported):
    import onnx

    backbone, path, _ = exported
    graph = onnx.load(str(path)).graph
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes["image"] == ["batch", 3, 64, 64]
    assert shapes["pooled"] == ["batch", backbone.pooled_channels]
    assert {shape[0] for shape in shapes.values()} == {"batch"}
    assert len(shapes) == 2 + len(backbone.feature_specs)


def test_what_is_made_of_the_batch_is_renamed_and_other_free_axes_are_not():
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install -e .[onnx]")

    def value(name, *shape):
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = onnx.helper.make_graph(
        [],
        "g",
        [value("image", "s4", 3), value("hand", "s5")],
        [value("out", "s4", "21*s4 + s40"), value("fixed", 2, "s40")],
        value_info=[value("inside", "s5", "s4*s5")],
    )
    model = onnx.helper.make_model(graph)
    adapter.name_batch_axis(model)
    found = {
        each.name: [axis.dim_param or axis.dim_value for axis in each.type.tensor_type.shape.dim]
        for each in (*model.graph.input, *model.graph.output, *model.graph.value_info)
    }
    assert found == {
        "image": ["batch", 3],
        "hand": ["batch"],
        "out": ["batch", "21*batch + s40"],
        "fixed": [2, "s40"],
        "inside": ["batch", "batch*batch"],
    }


def test_the_report_states_difference_and_tolerance(exported):
    backbone, _, report = exported
    assert max(report.checks["largest_difference"].values()) < report.checks["tolerance"]
    assert len(report.ledger.matched) == len(backbone.net.state_dict())


def test_the_file_says_how_to_feed_it(exported):
    backbone, path, _ = exported
    metadata = session(path).get_modelmeta().custom_metadata_map
    assert tuple(json.loads(metadata["mean"])) == backbone.input_spec.mean
    assert json.loads(metadata["levels"]) == {
        name: spec._asdict() for name, spec in backbone.feature_specs.items()
    }
    assert metadata["size_px"] == "64"


def test_a_graph_that_gives_nan_does_not_pass_for_equal():
    """`max` and `>` let NaN through."""
    fine, broken = np.ones((2, 3), np.float32), np.full((2, 3), np.nan, np.float32)
    assert relative_difference(fine, fine) == 0
    assert relative_difference(fine, broken) == relative_difference(broken, fine) == np.inf


def test_a_difference_beyond_the_tolerance_is_refused(exported):
    backbone, path, _ = exported
    import onnxruntime

    changed = copy.deepcopy(backbone)
    with torch.no_grad():
        changed.net.bn1.bias.add_(0.01)
    wrapped = adapter._NamedOutputs(changed).eval()
    with pytest.raises(SwapError, match="differ by more than 0.0001"):
        adapter._compare(onnxruntime, path.read_bytes(), wrapped, changed)


def test_another_ending_is_refused(backbone, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.onnx"):
        export_onnx(backbone, tmp_path / "x.pth")


def test_a_missing_package_is_named_with_the_line_that_installs_it(backbone, tmp_path, monkeypatch):
    plain = builtins.__import__

    def without_onnx(name, *args, **kwargs):
        if name == "onnx":
            raise ImportError("No module named 'onnx'", name="onnx")
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(ImportError, match=r"pip install 'gesture-pretrain\[onnx\]'"):
        export_onnx(backbone, tmp_path / "x.onnx")
