"""Export of backbones as ONNX graphs, checked in onnxruntime against torch.

Input `image`: `(B, 3, S, S)` float32, RGB, normalised. Outputs: one map per level, and `pooled`. B
is dynamic and called "batch" in the graph. S, mean and std are in the file's metadata.
"""

import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from adapters.targets import ExportReport, ExportTarget, SwapError, backbone_of
from gesture_pretrain.files import temporary_folder, write_bytes_atomically
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.weights.ledger import LedgerEntry, WeightLedger

if TYPE_CHECKING:
    from onnx import ModelProto

# Both compute in float32, but sum in another order, and batch norm is folded. HRNet-W32 differs by
# 1.4e-6 of a map's largest value; a wrong layer changes a map by 1e-2 or more.
TOLERANCE = 1e-4
CHECKED_BATCHES = (1, 3)
BATCH = "batch"


def export_onnx(network: Backbone | GestureNetwork, path: str | Path) -> ExportReport:
    """Write an ONNX file of the backbone.

    Args:
        network: Its backbone is written, in eval mode.
        path: Path that ends in `.onnx`.

    Returns:
        What was written, and the difference of each output.

    Raises:
        SwapError: onnxruntime's outputs differ; nothing is written.
        ValueError: The path has another ending.
        ImportError: onnx, onnxscript or onnxruntime is not installed.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"An ONNX file ends in .onnx, not {path.suffix!r}.")
    onnx, runtime = onnx_libraries()
    backbone = backbone_of(network)
    was_training = backbone.training
    try:
        wrapped = _NamedOutputs(backbone).eval()
        content = _graph(onnx, wrapped, backbone)
        differences = _compare(runtime, content, wrapped, backbone)
    finally:
        backbone.train(was_training)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, content)
    how = (
        "import onnxruntime\n"
        f"session = onnxruntime.InferenceSession({str(path)!r})\n"
        f"{', '.join(wrapped.names)} = session.run(None, {{'image': normalised}})"
    )
    checks = {"largest_difference": differences, "tolerance": TOLERANCE}
    return ExportReport("onnx", (path,), _ledger(backbone), how, checks)


class _NamedOutputs(nn.Module):
    """A backbone's levels and pooled feature as a tuple."""

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone = backbone
        self.names = (*backbone.feature_specs, "pooled")

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        features = self.backbone(image)
        return tuple(features.levels[name] for name in self.names[:-1]) + (features.pooled,)


def onnx_libraries() -> tuple[ModuleType, ModuleType]:
    """Import `onnx` and `onnxruntime`.

    Raises:
        ImportError: One of them, or onnxscript, is not installed.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise ImportError(
            f"ONNX needs the package {error.name}: pip install 'gesture-pretrain[onnx]'"
        ) from error
    return onnx, onnxruntime


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silence torch's exporter, which prints a graph of thousands of lines on failure."""
    log = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def name_batch_axis(model: "ModelProto") -> None:
    """Rename the dynamic first axis of the inputs to "batch", in place, in all shapes.

    torch's exporter invents a name such as "s40". `torch.export.Dim` would set a name, but fixes
    the axis of the pose networks to the example's size (torch 2.15).
    """
    graph = model.graph
    invented = {value.type.tensor_type.shape.dim[0].dim_param for value in graph.input}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                words = re.split(r"(\W+)", axis.dim_param)
                axis.dim_param = "".join(BATCH if word in invented else word for word in words)


def _graph(onnx: ModuleType, wrapped: _NamedOutputs, backbone: Backbone) -> bytes:
    side = backbone.input_spec.size_px
    with temporary_folder() as folder, quiet_exporter():
        file = folder / "backbone.onnx"
        torch.onnx.export(
            wrapped,
            (torch.zeros(2, 3, side, side),),
            str(file),
            input_names=["image"],
            output_names=list(wrapped.names),
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        graph = onnx.load(str(file))
    name_batch_axis(graph)
    onnx.helper.set_model_props(graph, _metadata(backbone))
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def _metadata(backbone: Backbone) -> dict[str, str]:
    spec = backbone.input_spec
    return {
        "arch": backbone.arch,
        "input": "RGB, (value in 0..1 - mean) / std, channels first",
        "size_px": str(spec.size_px),
        "mean": json.dumps(spec.mean),
        "std": json.dumps(spec.std),
        "levels": json.dumps({n: s._asdict() for n, s in backbone.feature_specs.items()}),
        "low": backbone.low,
        "high": backbone.high,
    }


def _compare(
    runtime: ModuleType, content: bytes, wrapped: _NamedOutputs, backbone: Backbone
) -> dict[str, float]:
    """Return each output's largest difference over its largest value, on random images."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    side, random = backbone.input_spec.size_px, torch.Generator().manual_seed(0)
    worst = dict.fromkeys(wrapped.names, 0.0)
    for batch in CHECKED_BATCHES:
        image = torch.randn(batch, 3, side, side, generator=random)
        with torch.no_grad():
            expected = wrapped(image)
        found = session.run(None, {"image": image.numpy()})
        for name, one, other in zip(wrapped.names, expected, found, strict=True):
            worst[name] = max(worst[name], relative_difference(one.numpy(), other))
    if max(worst.values()) > TOLERANCE:
        raise SwapError(
            f"onnxruntime and torch differ by more than {TOLERANCE:g} of an output's largest "
            f"value: {worst}. Nothing was written."
        )
    return worst


def relative_difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the largest difference over the largest expected value; infinite if not finite.

    Raises:
        SwapError: Arrays of different shapes.
    """
    if expected.shape != found.shape:
        raise SwapError(f"onnxruntime returns {found.shape}, but torch {expected.shape}.")
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        return float("inf")  # comparisons with NaN are false
    return float(np.abs(expected - found).max() / max(np.abs(expected).max(), 1e-12))


def _ledger(backbone: Backbone) -> WeightLedger:
    note = "a constant of the graph; batch norm may be folded into a convolution"
    entries = tuple(
        LedgerEntry(name, "matched", value.numel(), note)
        for name, value in backbone.net.state_dict().items()
    )
    return WeightLedger(entries, source=backbone.arch)


TARGET = ExportTarget(
    name="onnx",
    summary="an ONNX graph of the backbone, for one image size: all levels and the pooled feature",
    export=export_onnx,
)
