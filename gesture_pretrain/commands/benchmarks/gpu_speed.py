"""Speed of training, loading and inference on the device."""

import json
import statistics
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from adapters.pose.prediction import predict_batch
from gesture_pretrain.commands.benchmarks.gpu_networks import (
    Sizes,
    build_network,
    of_size,
    step_of,
    wrapper_of,
)
from gesture_pretrain.commands.benchmarks.measurement import timed
from gesture_pretrain.files import temporary_folder
from gesture_pretrain.precision import choose_precision
from gesture_pretrain.pretraining.data import build_gesture_data
from gesture_pretrain.pretraining.data_section import GestureDataSection
from gesture_pretrain.pretraining.run import build_runner


def training_speed(
    name: str, index: Path, sizes: Sizes, device: torch.device, *, batch: int, steps: int
) -> dict:
    """Measure training steps on a pinned batch: images/s, TFLOP/s, peak memory."""
    model, samples = build_network(name, index, sizes)
    model = model.to(device)
    wrapper = wrapper_of(model, device, choose_precision("auto", device))
    step = step_of(model, wrapper, of_size(samples, batch, device))
    with FlopCounterMode(display=False) as counter:
        step()
    for _ in range(3):
        step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = timed(step, device, steps) / steps
    found = {
        "images_per_s": batch / seconds,
        "gflop_per_image": counter.get_total_flops() / batch / 1e9,
        "tflop_per_s": counter.get_total_flops() / seconds / 1e12,
    }
    if device.type == "cuda":
        found["peak_memory_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
    return found


def fed_from_files(
    index: Path, sizes: Sizes, device: torch.device, *, batch: int, workers: int, steps: int
) -> dict:
    """Measure the second half of a Stage 1 run from image files."""
    with temporary_folder() as folder:
        build_runner(
            out=folder,
            data={
                "index": str(index),
                "batch_size": batch,
                "workers": workers,
                "val_split": None,
            },
            backbone={"arch": sizes.arch, "size_px": sizes.size_px},
            schedule={"iterations": 2 * steps},
            training={
                "log_every": steps,
                "channels_last": True,
                "ema_decay": 0.999,
                "checkpoint_every": 10**6,
            },
            device=str(device),
            progress=False,
        ).train()
        lines = (folder / "metrics.jsonl").read_text().splitlines()
    line = json.loads(lines[-1])
    return {key: line[key] for key in ("images_per_s", "data_wait_fraction")}


def loader_speed(index: Path, sizes: Sizes, *, batch: int, workers: int, batches: int) -> dict:
    """Measure the Stage 1 loader from image files, without a network."""
    section = GestureDataSection(index=index, batch_size=batch, workers=workers, val_split=None)
    cuda = torch.cuda.is_available()
    data = build_gesture_data(section, size_px=sizes.size_px, seed=0, pin_memory=cuda)
    source = iter(data.train)
    for _ in range(max(1, 2 * workers)):  # batches that were loaded ahead
        next(source)
    start = time.perf_counter()
    for _ in range(batches):
        next(source)
    return {"images_per_s": batches * data.batch_size / (time.perf_counter() - start)}


def latency(name: str, index: Path, sizes: Sizes, device: torch.device, *, runs: int) -> dict:
    """Measure the median time from one crop in host memory to the hand on the device."""
    model, samples = build_network(name, index, sizes)
    model, one = model.to(device), of_size(samples, 1, device)
    for _ in range(3):
        predict_batch(model, one)
    times = [timed(lambda: predict_batch(model, one), device) for _ in range(runs)]
    return {"median_ms": 1000 * statistics.median(times)}
