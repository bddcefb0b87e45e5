"""Inference of token fusion and of our EANet: latency at batch 1, throughput, parameters, FLOPs.

Both use the same backbone with random weights. They map the same crops, as bytes, to hands with
meshes, and take turns in one process. The ways to run them are `eager` float32, `channels_last`,
`bf16` (autocast), `compiled` (takes minutes) and `onnx` (ONNX Runtime on the CPU; the export takes
minutes). A way that cannot run here is listed with the reason. A multiply-add counts as two FLOPs.
"""

import argparse
import copy
import statistics
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from adapters.pose.onnx import CropBatch, PoseSession, pose_graph
from adapters.targets import find_pose_target
from gesture_pretrain.commands.benchmarks.measurement import (
    device_name,
    measurement,
    new_parser,
    timed,
    write_json,
)
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.models.backbone import build_backbone

_VERSIONS = ("torch", "timm", "onnxruntime")
_NETWORKS = ("token_fusion", "eanet")
_WAYS = ("eager", "channels_last", "bf16", "compiled", "onnx")
Forward = Callable[[], object]


def main(argv: list[str]) -> None:
    """Run the benchmark, print tables, write JSON if asked."""
    arguments = _parser().parse_args(argv)
    device = torch.device(arguments.device)
    models = {name: _build(name, arguments).to(device) for name in _NETWORKS}
    results = {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "arch": arguments.arch,
        "size_px": arguments.size,
        "networks": {n: _facts(m, arguments.size) for n, m in models.items()},
        "batches": [_measure(models, batch, arguments) for batch in arguments.batch],
    }
    _print(results)
    document = measurement("token_fusion", argv, packages=_VERSIONS, results=results)
    write_json(arguments.json, document)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("token_fusion", __doc__)
    parser.add_argument("--arch", default="resnet50", help="backbone of both, 2048 channels")
    parser.add_argument("--size", type=int, default=256, help="side of the crops, pixels")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--runs", type=int, default=5, help="of each way and batch size")
    parser.add_argument(
        "--ways", nargs="+", choices=_WAYS, default=["eager", "channels_last", "bf16"]
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="the tiny presets of both")
    return parser


def _build(name: str, arguments: argparse.Namespace) -> nn.Module:
    target = find_pose_target(name)
    hands = {s: load_hand_model(s, path="open", tip_convention="smplx") for s in ("right", "left")}
    backbone = build_backbone(arguments.arch, size_px=arguments.size)
    options = target.options("tiny" if arguments.tiny else "full")
    return target.build_model(backbone, seed=0, hand_models=hands, **options).eval()


@torch.inference_mode()
def _facts(model: nn.Module, size_px: int) -> dict[str, float]:
    batch = _crops(1, size_px, next(model.parameters()).device)
    with FlopCounterMode(display=False) as counter:
        model(batch, mode="predict")
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "of_the_backbone": sum(p.numel() for p in model.backbone.parameters()),
        "gflop_per_image": counter.get_total_flops() / 1e9,
    }


def _crops(count: int, size_px: int, device: torch.device) -> CropBatch:
    image = torch.randint(0, 256, (count, 3, size_px, size_px), dtype=torch.uint8)
    hand = torch.zeros(count, dtype=torch.int64)
    return CropBatch(image.to(device), hand.to(device), hand.to(device))


@torch.inference_mode()
def _measure(models: dict[str, nn.Module], batch: int, arguments: argparse.Namespace) -> dict:
    """Return the seconds of each network and way in turn; the first pass of each is a warm-up."""
    device = torch.device(arguments.device)
    crops, ready, failed = _crops(batch, arguments.size, device), {}, {}
    for way in arguments.ways:
        for name, model in models.items():
            try:
                forward = _way(model, way, crops)
                forward()
            except Exception as error:  # a compiler may be missing; the reason is printed
                failed[f"{name} {way}"] = f"{type(error).__name__}: {error}".splitlines()[0]
            else:
                ready[f"{name} {way}"] = forward
    seconds: dict[str, list[float]] = {key: [] for key in ready}
    for _ in range(arguments.runs):
        for key, forward in ready.items():
            seconds[key].append(timed(forward, device))
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    return {
        "batch": batch,
        "milliseconds": {key: 1e3 * value for key, value in medians.items()},
        "images_per_s": {key: batch / value for key, value in medians.items()},
        "token_fusion_over_eanet": {
            way: statistics.median(
                theirs / ours
                for ours, theirs in zip(
                    seconds[f"token_fusion {way}"], seconds[f"eanet {way}"], strict=True
                )
            )
            for way in arguments.ways
            if {f"token_fusion {way}", f"eanet {way}"} <= seconds.keys()
        },
        "failed": failed,
        "seconds": seconds,
    }


def _way(model: nn.Module, way: str, crops: CropBatch) -> Forward:
    if way == "onnx":
        session = PoseSession(pose_graph(copy.deepcopy(model).cpu(), crops.image.shape[-1]))
        image, hand = crops.image.cpu(), crops.hand.cpu()
        return lambda: session.run(image, hand)
    if way == "channels_last":
        model = copy.deepcopy(model).to(memory_format=torch.channels_last)
        crops = crops._replace(image=crops.image.contiguous(memory_format=torch.channels_last))
    if way == "bf16":

        def in_bf16() -> object:
            with torch.autocast(crops.image.device.type, torch.bfloat16):
                return model(crops, mode="predict")

        return in_bf16
    if way == "compiled":
        model = torch.compile(model, dynamic=False)
    return lambda: model(crops, mode="predict")


def _print(results: dict) -> None:
    print(
        f"{results['device']}, {results['threads']} threads, {results['arch']}, "
        f"{results['size_px']} px"
    )
    for name, facts in results["networks"].items():
        print(
            f"{name:13} {facts['parameters'] / 1e6:7.2f} M parameters, of the backbone "
            f"{facts['of_the_backbone'] / 1e6:.2f} M; {facts['gflop_per_image']:.2f} GFLOP an image"
        )
    for row in results["batches"]:
        print(f"batch {row['batch']}")
        for key, speed in row["images_per_s"].items():
            print(f"  {key:28} {row['milliseconds'][key]:9.1f} ms {speed:9.2f} images/s")
        for key, reason in row["failed"].items():
            print(f"  {key:28} does not run here: {reason}")
        for way, ratio in row["token_fusion_over_eanet"].items():
            print(f"  token fusion / EANet, {way}: {ratio:.2f}")
