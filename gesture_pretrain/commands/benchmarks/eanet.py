"""Inference of the bundled EANet: images/s of four ways to run it, and its parts' FLOPs.

`eager`, `channels_last`, `bf16` (autocast) and `compiled` take turns in one process on as many
threads as it finds; medians of the runs, random weights. A way that cannot run here is listed with
the reason; compiling takes minutes on a CPU. A multiply-add counts as two FLOPs; the parts are
timed in the eager runs.
"""

import copy
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from eanet import EANet, ResNet50Map
from gesture_pretrain.commands.benchmarks.measurement import (
    device_name,
    measurement,
    new_parser,
    synchronise,
    write_json,
)

_VERSIONS = ("torch", "torchvision")
_WAYS = ("eager", "channels_last", "bf16", "compiled")
_PARTS = ("backbone", "position_net", "rotation_net")
_TINY = {"width": 16, "depth": 1, "grid": 2}


def main(argv: list[str]) -> None:
    """Run the benchmark, print two tables, write JSON if asked."""
    parser = new_parser("eanet", __doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--runs", type=int, default=5, help="runs of each way and batch size")
    parser.add_argument("--ways", nargs="+", choices=_WAYS, default=list(_WAYS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="a small network on 64 px images")
    arguments = parser.parse_args(argv)
    device = torch.device(arguments.device)
    sizes = _TINY if arguments.tiny else {}
    model = EANet(ResNet50Map(), **sizes).eval().to(device)
    results = {"device": device_name(device), "threads": torch.get_num_threads(), "batches": []}
    with torch.inference_mode():
        for batch in arguments.batch:
            px = 32 * sizes.get("grid", 8)
            image = torch.rand(batch, 3, px, px, device=device)
            results["batches"].append(_measure(model, image, arguments.ways, arguments.runs))
    _print_tables(results)
    document = measurement("eanet", argv, packages=_VERSIONS, results=results)
    write_json(arguments.json, document)


def _measure(model: EANet, image: Tensor, ways: list[str], runs: int) -> dict:
    ready, failed = _prepare(model, image, ways)
    seconds: dict[str, list[float]] = {way: [] for way in ready}
    parts = _PartTimes(model)
    for _ in range(runs):
        for way, forward in ready.items():
            with parts if way == "eager" else nullcontext():
                seconds[way].append(_timed(forward, image))
    return {
        "batch": len(image),
        "images_per_second": {k: len(image) / statistics.median(v) for k, v in seconds.items()},
        "failed": failed,
        "parts": parts.against_flops(_part_flops(model, image)),
        "seconds": seconds,
    }


def _prepare(model: EANet, image: Tensor, ways: list[str]) -> tuple[dict, dict]:
    """Return the ways that run, after a warm-up pass, and the errors of the others."""
    ready, failed = {}, {}
    for way in ways:
        try:
            forward = _way(model, way)
            forward(image)
        except Exception as error:  # such as a missing compiler; the table lists it
            failed[way] = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            ready[way] = forward
    return ready, failed


def _way(model: EANet, way: str) -> Callable[[Tensor], object]:
    if way == "channels_last":
        other = copy.deepcopy(model).to(memory_format=torch.channels_last)
        return lambda image: other(image.to(memory_format=torch.channels_last))
    if way == "bf16":

        def in_bf16(image: Tensor) -> object:
            with torch.autocast(image.device.type, torch.bfloat16):
                return model(image)

        return in_bf16
    return torch.compile(model) if way == "compiled" else model


def _timed(forward: Callable, image: Tensor) -> float:
    synchronise(image.device)
    start = time.perf_counter()
    forward(image)
    synchronise(image.device)
    return time.perf_counter() - start


class _PartTimes:
    """Time the three networks inside EANet while the context is entered."""

    def __init__(self, model: EANet) -> None:
        self.modules = {part: model.get_submodule(part) for part in _PARTS}
        self.seconds: dict[str, list[float]] = {part: [] for part in _PARTS}

    def __enter__(self) -> None:
        self.hooks = []
        for part, module in self.modules.items():
            self.hooks.append(module.register_forward_pre_hook(self._start))
            self.hooks.append(module.register_forward_hook(self._stop(part)))

    def __exit__(self, *exception: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _start(self, module: nn.Module, inputs: tuple) -> None:
        synchronise(next(module.parameters()).device)
        self.began = time.perf_counter()

    def _stop(self, part: str) -> Callable:
        def stop(module: nn.Module, inputs: tuple, output: object) -> None:
            synchronise(next(module.parameters()).device)
            self.seconds[part].append(time.perf_counter() - self.began)

        return stop

    def against_flops(self, gflop: dict[str, float]) -> dict[str, dict[str, float]]:
        """Return milliseconds, GFLOP and GFLOP/s of each part; empty without an eager run."""
        medians = {part: statistics.median(v) for part, v in self.seconds.items() if v}
        return {
            part: {"ms": 1e3 * s, "gflop": gflop[part], "gflop_per_second": gflop[part] / s}
            for part, s in medians.items()
        }


def _part_flops(model: EANet, image: Tensor) -> dict[str, float]:
    with FlopCounterMode(display=False) as counter:
        model(image)
    counts = counter.get_flop_counts()
    return {part: sum(counts[f"EANet.{part}"].values()) / 1e9 for part in _PARTS}


def _print_tables(results: dict) -> None:
    print(f"{results['device']}, {results['threads']} threads")
    for row in results["batches"]:
        print(f"batch {row['batch']}: images/s")
        for way, value in row["images_per_second"].items():
            print(f"  {way:14} {value:8.2f}")
        for way, reason in row["failed"].items():
            print(f"  {way:14} does not run here: {reason}")
        for part, value in row["parts"].items():
            print(
                f"  {part:14} {value['ms']:8.1f} ms {value['gflop']:8.2f} GFLOP "
                f"{value['gflop_per_second']:8.1f} GFLOP/s"
            )
