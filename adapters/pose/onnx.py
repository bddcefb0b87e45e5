"""Export of pose networks as ONNX graphs, from the bytes of a crop to the hand, checked in ONNX
Runtime against torch.

Inputs `image` (B, 3, S, S) uint8 RGB and `hand` (B,) int64, 0 right and 1 left; B is free and
called "batch" in the graph. Outputs: the fields of `HandPrediction`, without `hand`. The graph
holds the hand model's arrays: a graph of a network that was trained with MANO's hand is under
MANO's licence.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from adapters.export.to_onnx import (
    name_batch_axis,
    onnx_libraries,
    quiet_exporter,
    relative_difference,
)
from adapters.pose.checkpoint import StoredPoseModel
from adapters.pose.model import HandPrediction
from adapters.targets import SwapError
from gesture_pretrain.files import temporary_folder, write_bytes_atomically

OUTPUTS = tuple(name for name in HandPrediction._fields if name != "hand")
# Fraction of the largest value of an output: float32 sums in another order, folded batch norms
TOLERANCE = 1e-3
# Untrained networks may put all joints at one depth. Differences are then fractions of this depth.
_SMALLEST_DEPTH_MM = 1.0


class CropBatch(NamedTuple):
    """The fields of a batch that a pose network reads in mode "predict".

    Attributes:
        image: (B, 3, S, S) uint8, RGB.
        hand: (B,) int64, 0 right, 1 left.
        row: (B,) int64.
    """

    image: Tensor
    hand: Tensor
    row: Tensor


class CropsToHands(nn.Module):
    """Pose network from bytes to the fields of its prediction."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, hand: Tensor) -> tuple[Tensor, ...]:
        prediction = self.model(CropBatch(image, hand, hand), mode="predict")
        return tuple(getattr(prediction, name) for name in OUTPUTS)


class PoseSession:
    """ONNX Runtime on such a graph, on the CPU, with as many threads as torch has.

    Args:
        content: The graph's bytes.

    Attributes:
        size_px: Side of the crops.
    """

    def __init__(self, content: bytes):
        _, runtime = onnx_libraries()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = runtime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [each.name for each in self._session.get_inputs()]
        self.size_px: int = self._session.get_inputs()[0].shape[-1]

    @classmethod
    def of(cls, stored: StoredPoseModel) -> "PoseSession":
        """Export a network in memory, without checks."""
        return cls(pose_graph(stored.model, stored.card.size_px))

    def run(self, image: Tensor, hand: Tensor) -> HandPrediction:
        """Predict the hands of a batch of crops."""
        # a network that ignores the handedness has no such input
        given = {"image": image.numpy(), "hand": hand.numpy()}
        found = self._session.run(list(OUTPUTS), {name: given[name] for name in self._inputs})
        fields = dict(zip(OUTPUTS, map(torch.from_numpy, found), strict=True))
        return HandPrediction(**fields, hand=hand)


def export_pose_onnx(
    stored: StoredPoseModel, path: Path, *, tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Write the graph and return each output's largest difference over its largest value.

    Args:
        stored: Result of `load_pose_model`.
        path: Ends in `.onnx`.
        tolerance: Largest difference between ONNX Runtime and torch that is accepted.

    Raises:
        SwapError: ONNX Runtime's outputs differ; nothing is written.
        ValueError: Another file ending.
        ImportError: onnx, onnxscript or onnxruntime is not installed.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"an ONNX file ends in .onnx, not {path.suffix!r}")
    content = pose_graph(stored.model, stored.card.size_px)
    worst = _differences(content, stored)
    if max(worst.values()) > tolerance:
        raise SwapError(
            f"onnxruntime and torch differ by more than {tolerance:g} of an output's largest "
            f"value: {worst}. Nothing was written."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, content)
    return worst


def pose_graph(model: nn.Module, size_px: int) -> bytes:
    """Build the graph of a pose network in eval mode.

    Raises:
        SwapError: torch cannot write this network as a graph.
        ValueError: The network leaves out fields of `HandPrediction`.
    """
    onnx, _ = onnx_libraries()
    example = torch.zeros(2, 3, size_px, size_px, dtype=torch.uint8), torch.zeros(2).long()
    with torch.no_grad():
        prediction = model.eval().cpu()(CropBatch(*example, example[1]), mode="predict")
    if isinstance(prediction, HandPrediction):
        prediction.require(OUTPUTS, "The ONNX graph of a pose network")
    free = {0: torch.export.Dim.DYNAMIC}
    with temporary_folder() as folder, quiet_exporter():
        file = folder / "pose.onnx"
        try:
            torch.onnx.export(
                CropsToHands(model.eval().cpu()),
                example,
                str(file),
                input_names=["image", "hand"],
                output_names=list(OUTPUTS),
                dynamic_shapes=(free, free),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise SwapError(
                f"torch cannot write {type(model).__name__} as an ONNX graph, which holds no "
                "branches on values and no operations of other libraries. Use the engine 'torch', "
                "or export the backbone alone (`gesture-pretrain export --target onnx`)."
            ) from error
        graph = onnx.load(str(file))
    name_batch_axis(graph)
    return graph.SerializeToString()


def _differences(content: bytes, stored: StoredPoseModel) -> dict[str, float]:
    """Compare outputs on random crops, for one hand and for three."""
    session, random = PoseSession(content), torch.Generator().manual_seed(0)
    worst = dict.fromkeys(OUTPUTS, 0.0)
    for count in (1, 3):
        shape = (count, 3, stored.card.size_px, stored.card.size_px)
        image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
        hand = torch.zeros(count, dtype=torch.int64)
        with torch.no_grad():
            expected = CropsToHands(stored.model)(image, hand)
        found = session.run(image, hand)
        for name, one in zip(OUTPUTS, expected, strict=True):
            share = relative_difference(one.numpy(), getattr(found, name).numpy())
            if name == "joint_depth_rel_mm" and share != float("inf"):
                share *= min(1.0, float(one.abs().max()) / _SMALLEST_DEPTH_MM)
            worst[name] = max(worst[name], share)
    return worst
