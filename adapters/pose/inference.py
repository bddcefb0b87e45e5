"""Inference of trained pose networks on crops: batched, compiled, or in ONNX Runtime.

`HandEstimator` in `adapters.prediction` runs on it and takes the same options.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapters.pose.checkpoint import StoredPoseModel, load_pose_model
from adapters.pose.model import HandPrediction
from adapters.pose.onnx import CropBatch, PoseSession
from gesture_pretrain.device import use_device
from gesture_pretrain.training.options import COMPILE_MODES as MODES

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class PoseInference:
    """Predict hands from crops.

    Args:
        source: Folder of a stored network, result of `load_pose_model`, or for the engine
            "onnx" a file written by `export_pose_onnx`.
        engine: "torch", or "onnx": ONNX Runtime on the CPU, in float32.
        precision: "fp32", "bf16" or "fp16" (CUDA only): of the network by autocast; coordinates,
            rotations and meshes stay in float32.
        compile: None, or a mode of torch.compile, with which the first batch takes minutes.
        channels_last: Memory order of weights and images.
        device: See `choose_device`.
        batch_size: Crops per batch. An incomplete last batch is padded if the engine is
            compiled, so that all batches have one shape.
        hand_model: MANO file or folder, see `load_pose_model`.

    Attributes:
        size_px: Side of the crops.
        model: The network; None for the engine "onnx".

    Raises:
        ValueError: Incompatible settings.
        ImportError: Packages of the engine "onnx" are missing.
        WeightsError, FileNotFoundError: See `load_pose_model`.
    """

    def __init__(
        self,
        source: str | PathLike | StoredPoseModel,
        *,
        engine: str = "torch",
        precision: str = "fp32",
        compile: str | None = None,
        channels_last: bool = False,
        device: str = "auto",
        batch_size: int = 64,
        hand_model: str | PathLike | None = None,
    ):
        _check(engine, precision, compile, batch_size)
        self.device = torch.device("cpu") if engine == "onnx" else use_device(device)
        if precision == "fp16" and self.device.type != "cuda":
            raise ValueError("precision 'fp16' needs CUDA; use 'bf16' or 'fp32' on a CPU")
        self.batch_size, self.whole_batches = batch_size, compile is not None
        self.autocast = PRECISIONS[precision]
        self._session = self.model = None
        if engine == "onnx":
            self._session = _session(source, hand_model)
            self.size_px = self._session.size_px
            return
        if not isinstance(source, StoredPoseModel):
            source = load_pose_model(source, hand_model=hand_model)
        self.size_px = source.card.size_px
        self.model = source.model.eval().to(self.device)
        if channels_last:
            self.model.to(memory_format=torch.channels_last)
        self._forward = self.model
        if compile is not None:
            mode = None if compile == "default" else compile
            self._forward = torch.compile(self.model, mode=mode, dynamic=False)

    def predict(self, crops: Tensor | np.ndarray, hand: Tensor | None = None) -> HandPrediction:
        """Predict the hand in each crop, in the frame of the crop, on the CPU.

        Args:
            crops: (N, 3, S, S) uint8, RGB; of right-looking hands if the network requires them
                (token fusion: mirror left hands first).
            hand: (N,) int64, 0 right and 1 left; all right if None.

        Raises:
            TypeError, ValueError: `crops` is not (N, 3, S, S) uint8, or is empty.
        """
        crops = torch.as_tensor(crops)
        _check_crops(crops, self.size_px)
        if hand is None:
            hand = torch.zeros(len(crops), dtype=torch.int64)
        return self.run(crops, torch.as_tensor(hand)).map(Tensor.cpu)

    def run(self, crops: Tensor, hand: Tensor, *, mode: str = "predict") -> Any:
        """Return the network's output for checked crops, on its device.

        Args:
            crops: (N, 3, S, S) uint8.
            hand: (N,) int64.
            mode: "predict" for a `HandPrediction`, or another mode of the network (engine "torch").
        """
        parts = [self._run(*batch, mode) for batch in self._batches(crops, hand)]
        columns = zip(*parts, strict=True)
        return type(parts[0])(*(None if c[0] is None else torch.cat(c) for c in columns))

    def _batches(self, crops: Tensor, hand: Tensor) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Yield crops, hands and how many of them are not padding."""
        for start in range(0, len(crops), self.batch_size):
            image, side = (values[start : start + self.batch_size] for values in (crops, hand))
            count, missing = len(image), self.batch_size - len(image)
            if missing and self.whole_batches:
                image = torch.cat([image, image[-1:].expand(missing, -1, -1, -1)])
                side = torch.cat([side, side[-1:].expand(missing)])
            yield image, side, count

    @torch.inference_mode()
    def _run(self, image: Tensor, hand: Tensor, count: int, mode: str) -> Any:
        if self._session is not None:
            return self._session.run(image.cpu(), hand.cpu())
        batch = CropBatch(image, hand, torch.arange(len(image)))
        batch = CropBatch(*(values.to(self.device, non_blocking=True) for values in batch))
        half = self.autocast
        with nullcontext() if half is None else torch.autocast(self.device.type, half):
            output = self._forward(batch, mode=mode)
        return type(output)(*(None if values is None else values[:count] for values in output))


def _session(source: str | PathLike | StoredPoseModel, hand_model) -> PoseSession:
    if isinstance(source, StoredPoseModel):
        return PoseSession.of(source)
    if Path(source).suffix == ".onnx":
        return PoseSession(Path(source).read_bytes())
    return PoseSession.of(load_pose_model(source, hand_model=hand_model))


def _check(engine: str, precision: str, compile: str | None, batch_size: int) -> None:
    for name, value, possible in (
        ("engine", engine, ("torch", "onnx")),
        ("precision", precision, PRECISIONS),
        ("compile", compile, (None, *MODES)),
    ):
        if value not in possible:
            raise ValueError(f"{name} is {value!r}; possible: {', '.join(map(str, possible))}")
    if engine == "onnx" and (precision != "fp32" or compile is not None):
        raise ValueError("the engine 'onnx' runs in fp32 and is not compiled by torch")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _check_crops(crops: Tensor, size_px: int) -> None:
    if crops.dtype != torch.uint8:
        raise TypeError(f"crops must be uint8, got {crops.dtype}")
    if crops.ndim != 4 or crops.shape[1:] != (3, size_px, size_px) or not len(crops):
        raise ValueError(
            f"crops have shape {tuple(crops.shape)}; the network takes (N, 3, {size_px}, {size_px})"
        )
