"""Training hooks: learning rate, weight average, checkpoints, metrics, progress."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.hooks import Hook
from torch import Tensor

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.processes import gather_objects, rank_and_world_size
from gesture_pretrain.training.checkpoint import (
    delete_old_checkpoints,
    full_disk_named,
    has_checkpoint,
    save_checkpoint,
)
from gesture_pretrain.training.schedule import Schedule


class LearningRateHook(Hook):
    """Sets the learning rate of each iteration from the schedule."""

    priority = "VERY_HIGH"

    def __init__(self, schedule: Schedule, peak_lr: float):
        self.schedule, self.peak_lr = schedule, peak_lr

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        ratio = self.schedule.lr_ratio(batch_idx, runner.max_iters)
        for group in runner.optim_wrapper.param_groups:
            group["lr"] = self.peak_lr * ratio * group.get("lr_scale", 1.0)


class WeightAverageHook(Hook):
    """Updates `runner.weight_average` after each step."""

    priority = "HIGH"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.weight_average.update()


class CheckpointHook(Hook):
    """Writes a checkpoint before the first step, at an interval, and after the last step.

    Args:
        folder: The run's checkpoint folder.
        every: Iterations between checkpoints.
        keep: Number of checkpoints to keep.
    """

    priority = "LOW"

    def __init__(self, folder: Path, *, every: int, keep: int):
        self.folder, self.every, self.keep = Path(folder), every, keep

    def before_train(self, runner):
        if runner.iter == 0 and not has_checkpoint(self.folder):
            self._save(runner)

    def after_step(self, runner):
        if runner.iter % self.every == 0 or runner.iter == runner.max_iters:
            self._save(runner)

    def after_train(self, runner):
        """Delete what a process that was killed while it deleted has left."""
        if rank_and_world_size()[0] == 0:
            delete_old_checkpoints(self.folder, self.keep)

    def _save(self, runner):
        runner.train_loop.settle()
        if rank_and_world_size()[0] == 0:
            save_checkpoint(self.folder, runner.iter, runner.run_state(), keep=self.keep)


class MetricsHook(Hook):
    """Writes means since the last line, and validation scores, to `metrics.jsonl` and TensorBoard.

    A training line also has `images_per_s` over all processes and `data_wait_fraction`, the
    fraction of time this process waited for data. Validation time is excluded.

    Args:
        out: The run folder.
        every: Iterations between lines.
        batch_size: Images per iteration over all processes.
    """

    priority = "NORMAL"

    def __init__(self, out: Path, *, every: int, batch_size: int):
        self.path, self.every, self.batch_size = Path(out) / "metrics.jsonl", every, batch_size
        self.board = None

    def before_train(self, runner):
        self.is_main = rank_and_world_size()[0] == 0
        if self.is_main:
            from torch.utils.tensorboard import SummaryWriter  # slow to import

            drop_lines_after(self.path, runner.iter)
            folder = self.path.parent / "tensorboard"
            with full_disk_named(folder):
                self.board = SummaryWriter(str(folder), purge_step=runner.iter + 1)
        self._start_window(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append({name: value.detach() for name, value in outputs.items()})
        if (batch_idx + 1) % self.every == 0 or batch_idx + 1 == runner.max_iters:
            self._write_window(runner, batch_idx)

    def before_val(self, runner):
        self.paused_at = time.perf_counter()

    def after_val_epoch(self, runner, metrics=None):
        runner.last_metrics = dict(metrics)
        self._write({"iteration": runner.iter, **{f"val_{k}": v for k, v in metrics.items()}})
        self.since += time.perf_counter() - self.paused_at

    def after_run(self, runner):
        if self.board is not None:
            with full_disk_named(self.path.parent / "tensorboard"):
                self.board.close()

    def _start_window(self, runner):
        self.steps: list[dict[str, Tensor]] = []
        self.since, self.waited_before = time.perf_counter(), runner.train_loop.waited_s

    def _write_window(self, runner, batch_idx):
        runner.train_loop.settle()
        runner.last_losses = means = mean_over_processes(*sums_and_counts(self.steps))
        seconds = max(time.perf_counter() - self.since, 1e-9)
        waited_s = runner.train_loop.waited_s - self.waited_before
        self._write(
            {
                "iteration": batch_idx + 1,
                "epoch": runner.epoch,
                "lr": runner.optim_wrapper.param_groups[0]["lr"],
                **{f"train_{k}": v for k, v in means.items()},
                "images_per_s": len(self.steps) * self.batch_size / seconds,
                "data_wait_fraction": waited_s / seconds,
            }
        )
        self._start_window(runner)

    def _write(self, line: dict):
        if not self.is_main:
            return
        with full_disk_named(self.path):
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        with full_disk_named(self.path.parent / "tensorboard"):
            for name, value in line.items():
                if name != "iteration":
                    self.board.add_scalar(name.replace("_", "/", 1), value, line["iteration"])


class ProgressHook(Hook):
    """Shows progress: one updated line on a terminal, otherwise a line per validation.

    Args:
        batch_size: Images per iteration over all processes.
        stream: Output stream. Default: standard output.
    """

    priority = "VERY_LOW"
    refresh_s = 0.25

    def __init__(self, *, batch_size: int, stream=None):
        self.batch_size, self.stream = batch_size, stream or sys.stdout
        self.live = self.stream.isatty()
        self.active = True
        self.drawn_at = 0.0
        self.iteration_s: float | None = None
        self.waited_s: float | None = None

    def before_train(self, runner):
        self.active = rank_and_world_size()[0] == 0
        self.mark, self.waited_before = time.perf_counter(), 0.0
        self.started = False

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        now, waited_s = time.perf_counter(), runner.train_loop.waited_s
        if self.started:  # the first iteration also starts workers and allocates memory
            self.iteration_s = _smoothed(self.iteration_s, now - self.mark)
            self.waited_s = _smoothed(self.waited_s, waited_s - self.waited_before)
        self.started = True
        self.mark, self.waited_before = now, waited_s
        self.loss = outputs["loss"]
        if self.live and now - self.drawn_at > self.refresh_s:
            self._draw(runner, batch_idx + 1, now)

    def after_val(self, runner):
        self.mark = time.perf_counter()
        if self.live:
            self._draw(runner, runner.iter, self.mark)
        elif self.active:
            print(self._text(runner, runner.iter), file=self.stream, flush=True)

    def after_train(self, runner):
        if self.live and self.active:
            print(file=self.stream, flush=True)

    def _draw(self, runner, done: int, now: float):
        if self.active:
            self.stream.write("\r\x1b[K" + self._text(runner, done))
            self.stream.flush()
            self.drawn_at = now

    def _text(self, runner, done: int) -> str:
        loop = runner.train_loop
        epoch = max(1, -(-done // loop.iterations_per_epoch))
        parts = [f"epoch {epoch}/{loop.max_epochs}  iteration {done}/{loop.max_iters}"]
        if self.iteration_s is not None:
            left = (loop.max_iters - done) * self.iteration_s
            parts.append(f"loss {self.loss.item():.2f}")
            parts.append(f"{self.batch_size / self.iteration_s:.0f} images/s")
            parts.append(f"{100 * self.waited_s / self.iteration_s:.0f} % waiting for data")
            parts.append(f"ETA {clock(left)}")
        scores = [shown_score(name, value) for name, value in runner.last_metrics.items()]
        if any(scores):
            parts.append("validation " + ", ".join(filter(None, scores)))
        return "  ".join(parts)


def shown_score(name: str, value: float) -> str:
    """Format a score for the progress line: `*_top1` in percent, `*_mm` in mm, others as ""."""
    if name.endswith("_top1"):
        return f"{name.removesuffix('_top1')} {100 * value:.1f} %"
    return f"{name.removesuffix('_mm')} {value:.1f} mm" if name.endswith("_mm") else ""


def clock(seconds: float) -> str:
    """Format seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def sums_and_counts(steps: Sequence[dict[str, Tensor]]) -> tuple[dict, dict]:
    """Sum scalars by name over steps, and count them, with one copy from the device.

    A NaN score comes from a batch without anything to score and is not counted. A loss always
    counts.
    """
    sums, counts = {}, {}
    pairs = [(name, value) for step in steps for name, value in step.items()]
    for (name, _), number in zip(pairs, _on_host([v for _, v in pairs]), strict=True):
        counted = "loss" in name or number == number
        sums[name] = sums.get(name, 0.0) + (number if counted else 0.0)
        counts[name] = counts.get(name, 0) + counted
    return sums, counts


def mean_over_processes(sums: dict, counts: dict) -> dict[str, float]:
    """Compute means by name over all processes, from the sums and counts of this one.

    A name without any count, such as an accuracy without labels, is omitted.
    """
    totals = {}
    for each in gather_objects({name: (sums[name], counts[name]) for name in sums}):
        for name, (value, count) in each.items():
            before = totals.get(name, (0.0, 0))
            totals[name] = (before[0] + value, before[1] + count)
    return {name: total / count for name, (total, count) in totals.items() if count}


def _on_host(scalars: Sequence[Tensor]) -> list[float]:
    on_device = [value.double() for value in scalars if value.device.type != "cpu"]
    copied = iter(torch.stack(on_device).tolist() if on_device else [])
    return [next(copied) if v.device.type != "cpu" else float(v) for v in scalars]


def _smoothed(past: float | None, value: float) -> float:
    return value if past is None else 0.9 * past + 0.1 * value


def drop_lines_after(path: Path, iteration: int) -> None:
    """Keep the lines of `metrics.jsonl` up to `iteration`, without a half-written last line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["iteration"] <= iteration:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            break  # the run was killed during a write; the rest belongs to later iterations
    with full_disk_named(path):
        write_bytes_atomically(path, "".join(kept).encode())
