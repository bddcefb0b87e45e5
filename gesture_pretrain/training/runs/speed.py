"""How fast a run is, whether it waits for its data, and how much of the device it uses."""

import json
import resource
import sys
import time
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from gesture_pretrain.training.device import rank_and_world_size, sum_over_processes
from gesture_pretrain.training.hooks import drop_lines_after
from gesture_pretrain.training.loop import unwrapped
from gesture_pretrain.training.runs.checkpoint import full_disk_named
from gesture_pretrain.training.runs.device_peak import device_name, peak_tflops

_SPEED_FILE = "speed.jsonl"


class SpeedHook(Hook):
    """Appends a line to `speed.jsonl` per window, and at the end prints the whole run's.

    A line has `iteration`, `images_per_s` over all processes, `data_wait_share` (time in which the
    loop waited for the next batch, mean over processes), `peak_memory_mb` (of the device; on a CPU
    resident memory of the process) and `flop_utilisation`: FLOPs of the network, forward and
    backward, over the device's peak in the precision of the run; null where one of the two is
    unknown. Validation and checkpoints do not count. The first iteration, which starts workers and
    may compile, counts nowhere.

    Args:
        out: the run folder.
        every: iterations between lines.
        batch_size: images per iteration over all processes.
        peak_tflops: of one device; None: by its name.
        show: print the line at the end.
    """

    priority = "VERY_LOW"

    def __init__(
        self, out: Path, *, every: int, batch_size: int, peak_tflops: float | None, show: bool
    ):
        self.path, self.every, self.batch_size = Path(out) / _SPEED_FILE, every, batch_size
        self.peak_tflops, self.show = peak_tflops, show
        self.flops_per_image: float | None = None
        self._running_since: float | None = None
        self.total = _Window()
        self.window = _Window()

    def before_train(self, runner):
        self.is_main = rank_and_world_size()[0] == 0
        self.device = next(unwrapped(runner.model).parameters()).device
        if self.peak_tflops is None:
            precision = "bf16" if getattr(runner.optim_wrapper, "autocast", True) else "fp32"
            self.peak_tflops = peak_tflops(device_name(self.device), precision)
        if self.is_main:
            drop_lines_after(self.path, runner.iter)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.flops_per_image is None and self.peak_tflops is not None:
            self.flops_per_image = training_flops(unwrapped(runner.model), data_batch)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self._running_since is None:  # the first iteration
            self._resume(runner)
            return
        self.window.iterations += 1
        if (batch_idx + 1) % self.every == 0 or batch_idx + 1 == runner.max_iters:
            self._close_window(runner, batch_idx + 1)

    def before_val(self, runner):
        self._pause(runner)

    def after_val(self, runner):
        self._resume(runner)

    def after_train(self, runner):
        if self.is_main and self.show and self.total.iterations:
            print(describe(self.facts(self.total)))

    def facts(self, window: "_Window") -> dict:
        """What a line of `speed.jsonl` says, but for the iteration."""
        seconds = max(window.seconds, 1e-9)
        images_per_s = window.iterations * self.batch_size / seconds
        return {
            "images_per_s": images_per_s,
            "data_wait_share": window.waited_s / seconds,
            "peak_memory_mb": peak_memory_mb(self.device),
            "flop_utilisation": self._utilisation(images_per_s),
        }

    def _utilisation(self, images_per_s: float) -> float | None:
        if self.flops_per_image is None or self.peak_tflops is None:
            return None
        per_device = images_per_s / rank_and_world_size()[1]
        return per_device * self.flops_per_image / (1e12 * self.peak_tflops)

    def _pause(self, runner):
        if self._running_since is not None:
            self.window.seconds += time.perf_counter() - self._running_since
            self.window.waited_s += runner.train_loop.waited_s - self._waited_before

    def _resume(self, runner):
        self._running_since = time.perf_counter()
        self._waited_before = runner.train_loop.waited_s

    def _close_window(self, runner, iteration: int):
        self._pause(runner)
        table = torch.tensor([self.window.waited_s], dtype=torch.float64, device=self.device)
        self.window.waited_s = float(sum_over_processes(table)) / rank_and_world_size()[1]
        if self.is_main:
            with full_disk_named(self.path), self.path.open("a") as file:
                file.write(json.dumps({"iteration": iteration, **self.facts(self.window)}) + "\n")
        self.total.add(self.window)
        self.window = _Window()
        self._resume(runner)


class _Window:
    """Iterations, and seconds in all and in waiting for data."""

    def __init__(self):
        self.iterations, self.seconds, self.waited_s = 0, 0.0, 0.0

    def add(self, other: "_Window") -> None:
        self.iterations += other.iterations
        self.seconds += other.seconds
        self.waited_s += other.waited_s


def describe(facts: dict) -> str:
    """One line of what `SpeedHook.facts` gives."""
    used = facts["flop_utilisation"]
    return (
        f"Speed: {facts['images_per_s']:.1f} images/s, {100 * facts['data_wait_share']:.1f} % of "
        f"the time waiting for data, {facts['peak_memory_mb']:.0f} MB at most, FLOP utilisation "
        + ("unknown (training.peak_tflops tells it)" if used is None else f"{100 * used:.1f} %")
    )


def peak_memory_mb(device: torch.device) -> float:
    """Most memory so far, MB: allocated on a CUDA device, else resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def training_flops(model: nn.Module, batch) -> float:
    """FLOPs per image of forward and backward through the model's network.

    Counted on tensors without values, so nothing is computed; it takes seconds. A multiply-add
    counts as two; matrix products, convolutions and attention are counted, and what activation
    checkpointing computes twice is counted twice.

    Args:
        model: has `network`, or else `backbone`, which takes normalised images.
        batch: has `image` `(B, 3, S, S)`.
    """
    network = getattr(model, "network", None)
    network = deepcopy(model.backbone if network is None else network).train()
    side, device = batch.image.shape[-1], next(network.parameters()).device
    counter = FlopCounterMode(display=False)
    with FakeTensorMode(allow_non_fake_inputs=True), counter:
        output = network(torch.zeros(2, 3, side, side, device=device))
        total = sum(value.float().sum() for value in _tensors(output) if value.requires_grad)
        if isinstance(total, Tensor):
            total.backward()
    return counter.get_total_flops() / 2


def _tensors(value) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return []
    return [tensor for item in value for tensor in _tensors(item)]
