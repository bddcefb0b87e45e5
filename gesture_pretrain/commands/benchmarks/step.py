"""One Stage 1 training step against timm's own model in a bare hand-written loop.

    ours      the step of tools/pretrain_backbone.py: bytes normalised, network with both heads,
              losses and accuracies, checked AdamW step, through mmengine's train_step
    bare      timm.create_model(arch, num_classes=70), one cross entropy, AdamW, on images that are
              normalised floats already

Both use the same precision, memory order, batch and learning rate, and random tensors on the
device. They take turns step by step in one process. On CUDA the wall-clock time is measured; on a
CPU it is the processor time of all threads, which other processes disturb less.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
from torch.nn import functional

from gesture_pretrain.commands.benchmarks.measurement import (
    device_name,
    measurement,
    new_parser,
    synchronise,
    write_json,
)

_VERSIONS = ("torch", "timm", "mmengine")
_COARSE, _FINE, _LR = 54, 70, 1e-4
Step = Callable[[], None]


def main(argv: list[str]) -> None:
    """Run the benchmark, print a table, write JSON if asked."""
    arguments = _parser().parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = arguments.batch or (64 if device.type == "cuda" else 4)
    steps = {
        "bare": _bare(arguments, device, batch),
        "ours": partial(_ours(arguments, device), _random_batch(arguments, device, batch)),
    }
    seconds = _alternate(steps, arguments.rounds, device)
    ratios = [bare / ours for bare, ours in zip(seconds["bare"], seconds["ours"], strict=True)]
    results = {
        "device": device_name(device),
        "batch": batch,
        "seconds": seconds,
        "images_per_s": {name: batch / statistics.median(each) for name, each in seconds.items()},
        "ours_of_bare": statistics.median(ratios),
    }
    print(f"{arguments.arch}, {arguments.size} px, batch {batch}, {arguments.precision}, "
          f"{results['device']}, {torch.get_num_threads()} threads")  # fmt: skip
    for name, speed in results["images_per_s"].items():
        print(f"{name:6} {speed:9.2f} images/s")
    print(f"ours at {results['ours_of_bare']:.3f} of bare (median of {len(ratios)} turns)")
    document = measurement("step", argv, packages=_VERSIONS, results=results)
    write_json(arguments.json, document)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("step", __doc__)
    cuda = torch.cuda.is_available()
    parser.add_argument("--arch", default="hrnet_w32")
    parser.add_argument("--size", type=int, default=256, help="side of the crops, pixels")
    parser.add_argument("--batch", type=int, help="default: 64 on CUDA, 4 on a CPU")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16" if cuda else "fp32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--rounds", type=int, default=50 if cuda else 7)
    return parser


def _random_batch(arguments: argparse.Namespace, device: torch.device, batch: int):
    """Return a `HandSample` of random bytes and classes on the device."""
    from gesture_pretrain.data.samples.gesture_dataset import HandSample

    empty = torch.zeros(batch)
    sample = HandSample(
        torch.randint(0, 256, (batch, 3, arguments.size, arguments.size), dtype=torch.uint8),
        *(torch.randint(0, count, (batch,)) for count in (_COARSE, _FINE)),
        *[empty] * 5,
    )
    return HandSample(*(value.to(device) for value in sample))


def _ours(arguments: argparse.Namespace, device: torch.device) -> Callable[[tuple], None]:
    from gesture_pretrain.models.backbone import build_backbone
    from gesture_pretrain.models.gesture_heads import build_gesture_heads
    from gesture_pretrain.models.gesture_network import GestureNetwork
    from gesture_pretrain.pretraining.model import GesturePretrainer
    from gesture_pretrain.training.loop import seed_all
    from gesture_pretrain.training.optimizer import build_optim_wrapper, build_optimizer

    backbone = build_backbone(arguments.arch, size_px=arguments.size)
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=_COARSE, num_fine=_FINE)
    network = GestureNetwork(backbone, heads)
    model = GesturePretrainer(network, channels_last=arguments.channels_last).to(device)
    wrapper = build_optim_wrapper(
        build_optimizer(model, lr=_LR),
        device=device,
        precision=arguments.precision,
        clip_norm=None,
    )
    iteration = iter(range(10**9))

    def step(batch):
        model.train()
        model.set_epoch(0)
        seed_all(0, next(iteration), 0)
        model.train_step(batch, optim_wrapper=wrapper)

    return step


def _bare(arguments: argparse.Namespace, device: torch.device, batch: int) -> Step:
    import timm

    order = torch.channels_last if arguments.channels_last else torch.contiguous_format
    model = timm.create_model(arguments.arch, num_classes=_FINE).to(device, memory_format=order)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LR)
    image = torch.randn(batch, 3, arguments.size, arguments.size, device=device)
    image = image.contiguous(memory_format=order)
    label = torch.randint(0, _FINE, (batch,), device=device)
    mixed = arguments.precision == "bf16"

    def step() -> None:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext():
            loss = functional.cross_entropy(model(image), label)
        loss.backward()
        optimizer.step()

    return step


def _alternate(steps: dict[str, Step], rounds: int, device: torch.device) -> dict[str, list]:
    """Return the seconds of each step; the first turn is a warm-up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    for turn in range(rounds + 1):
        for name, step in steps.items():
            synchronise(device)
            start = clock()
            step()
            synchronise(device)
            if turn:
                seconds[name].append(clock() - start)
    return seconds
