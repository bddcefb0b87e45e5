"""What each option of a training step does to its time and memory, against the same step without.

Full steps of Stage 1 on random crops, in one process, taking turns; a network and optimiser of its
own for each option. `plain` is float32 in contiguous order with the unfused optimiser. Time is by
the clock on CUDA, else processor time of all threads; memory is what autograd saves for backward.
`compiled` takes minutes.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.measurement import measurement
from gesture_pretrain.data.samples.gesture_dataset import HandSample
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.pretraining.model import GesturePretrainer
from gesture_pretrain.training.accumulation import accumulated_step
from gesture_pretrain.training.ema import WeightAverage
from gesture_pretrain.training.optimizer import build_optim_wrapper, build_optimizer
from gesture_pretrain.training.placement import compile_network

_VERSIONS = ("torch", "timm", "mmengine")
_COARSE, _FINE = 54, 70
_OPTIONS = {
    "plain": {},
    "fused": {"fused": True},
    "channels_last": {"channels_last": True},
    "bf16": {"precision": "bf16"},
    "bf16 channels_last fused": {"precision": "bf16", "channels_last": True, "fused": True},
    "accumulate 4": {"accumulate": 4},
    "weight average": {"average": True},
    "compiled": {"compile": "default"},
}
Step = Callable[[], None]


def main(argv: list[str]) -> None:
    """Run the benchmark, print a table, write JSON where asked."""
    arguments = _parser().parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sample = _sample(arguments, device)
    steps = {
        name: _step(arguments, device, sample, **_OPTIONS[name])
        for name in dict.fromkeys(["plain", *arguments.options])
    }
    memory_mb = {name: _saved_mb(step) for name, step in steps.items()}
    seconds = _alternate(steps, arguments.rounds, device)
    results = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "threads": torch.get_num_threads(),
        "arch": arguments.arch,
        "size_px": arguments.size,
        "batch": arguments.batch,
        "seconds": seconds,
        "saved_mb": memory_mb,
        "speed_of_plain": {
            name: statistics.median(
                plain / own for plain, own in zip(seconds["plain"], each, strict=True)
            )
            for name, each in seconds.items()
        },
    }
    _print(results)
    if arguments.json is not None:
        document = measurement("training_options", argv, packages=_VERSIONS, results=results)
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
        print(f"written: {arguments.json}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmark.py training_options",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = [name for name in _OPTIONS if name != "compiled"]
    parser.add_argument("--options", nargs="+", choices=_OPTIONS, default=usual)
    parser.add_argument("--arch", default="hrnet_w32")
    parser.add_argument("--size", type=int, default=256, help="side of the crops, pixels")
    parser.add_argument("--batch", type=int, default=64 if torch.cuda.is_available() else 4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the measurements here")
    return parser


def _sample(arguments: argparse.Namespace, device: torch.device) -> HandSample:
    shape = (arguments.batch, 3, arguments.size, arguments.size)
    empty = torch.zeros(arguments.batch)
    sample = HandSample(
        torch.randint(0, 256, shape, dtype=torch.uint8),
        *(torch.randint(0, count, (arguments.batch,)) for count in (_COARSE, _FINE)),
        *[empty] * 5,
    )
    return HandSample(*(value.to(device) for value in sample))


def _step(
    arguments: argparse.Namespace,
    device: torch.device,
    sample: HandSample,
    *,
    precision: str = "fp32",
    channels_last: bool = False,
    fused: bool = False,
    accumulate: int = 1,
    average: bool = False,
    **changes: object,
) -> Step:
    backbone = build_backbone(arguments.arch, size_px=arguments.size)
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=_COARSE, num_fine=_FINE)
    network = GestureNetwork(backbone, heads)
    model = GesturePretrainer(network, channels_last=channels_last).to(device).train()
    if changes.get("compile"):
        compile_network(model, str(changes["compile"]))
    wrapper = build_optim_wrapper(
        build_optimizer(model, lr=1e-4, fused=fused),
        device=device,
        precision=precision,
        clip_norm=1.0,
    )
    mean = WeightAverage(model, 0.999) if average else None

    def step() -> None:
        if accumulate > 1:
            accumulated_step(model, sample, parts=accumulate, optim_wrapper=wrapper)
        else:
            model.train_step(sample, optim_wrapper=wrapper)
        if mean is not None:
            mean.update(model)

    return step


def _saved_mb(step: Step) -> float:
    """The most that is kept for backward at one time, in the first step, which warms up, too."""
    now, most = 0, 0

    class Kept:
        def __init__(self, tensor: torch.Tensor):
            nonlocal now, most
            self.tensor, self.size = tensor, tensor.numel() * tensor.element_size()
            now += self.size
            most = max(most, now)

        def __del__(self):
            nonlocal now
            now -= self.size

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        step()
    return most / 1e6


def _alternate(steps: dict[str, Step], rounds: int, device: torch.device) -> dict[str, list]:
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            _finish(device)
            start = clock()
            step()
            _finish(device)
            seconds[name].append(clock() - start)
    return seconds


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _print(results: dict) -> None:
    print(
        f"{results['device']}, {results['threads']} threads, {results['arch']}, "
        f"{results['size_px']} px, batch {results['batch']}"
    )
    for name, each in results["seconds"].items():
        print(
            f"{name:26} {1e3 * statistics.median(each):9.0f} ms  "
            f"{results['speed_of_plain'][name]:5.2f} of plain's speed  "
            f"{results['saved_mb'][name]:8.0f} MB kept for backward"
        )
