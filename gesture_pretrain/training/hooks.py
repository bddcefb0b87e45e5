"""What happens beside the training: learning rate, averaging, checkpoints, metrics, progress."""

import json
import sys
import time
from pathlib import Path

import torch
from mmengine.hooks import Hook
from torch.utils.tensorboard import SummaryWriter

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.training.device import rank_and_world_size, sum_over_processes
from gesture_pretrain.training.loop import unwrapped
from gesture_pretrain.training.runs.checkpoint import (
    full_disk_named,
    has_checkpoint,
    save_checkpoint,
)
from gesture_pretrain.training.step.schedule import Schedule


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
        runner.weight_average.update(unwrapped(runner.model))


class CheckpointHook(Hook):
    """Writes a checkpoint before the first step, at an interval, and after the last step.

    Args:
        folder: where they go.
        every: iterations between checkpoints.
        keep: how many stay.
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

    def _save(self, runner):
        runner.gather_run_state()
        if rank_and_world_size()[0] == 0:
            save_checkpoint(self.folder, runner.iter, runner.run_state(), keep=self.keep)


class MetricsHook(Hook):
    """Appends to `metrics.jsonl` and TensorBoard: means since the last line, and validations.

    Args:
        out: the run folder.
        every: iterations between lines.
        batch_size: images per iteration over all processes.
    """

    priority = "NORMAL"

    def __init__(self, out: Path, *, every: int, batch_size: int):
        self.path, self.every, self.batch_size = Path(out) / "metrics.jsonl", every, batch_size
        self.board: SummaryWriter | None = None
        self._start_window()

    def before_train(self, runner):
        self.is_main = rank_and_world_size()[0] == 0
        if self.is_main:
            drop_lines_after(self.path, runner.iter)
            folder = self.path.parent / "tensorboard"
            with full_disk_named(folder):
                self.board = SummaryWriter(str(folder), purge_step=runner.iter + 1)
        self._start_window()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        for name, value in outputs.items():
            value = value.detach().double()
            counted = torch.ones_like(value)
            if "loss" not in name:  # NaN: on a GPU, a score of a batch that has nothing to score
                counted, value = (~value.isnan()).double(), value.nan_to_num(nan=0.0)
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0.0) + counted
        self.iterations += 1
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
            self.board.close()

    def _start_window(self):
        self.sums, self.counts, self.iterations = {}, {}, 0
        self.since = time.perf_counter()

    def _write_window(self, runner, batch_idx):
        runner.train_loop.settle()
        means = mean_over_processes(self.sums, self.counts)
        seconds = time.perf_counter() - self.since
        runner.last_losses = means
        self._write(
            {
                "iteration": batch_idx + 1,
                "epoch": runner.epoch,
                "lr": runner.optim_wrapper.param_groups[0]["lr"],
                **{f"train_{k}": v for k, v in means.items()},
                "images_per_s": self.iterations * self.batch_size / max(seconds, 1e-9),
            }
        )
        self._start_window()

    def _write(self, line: dict):
        if not self.is_main:
            return
        with full_disk_named(self.path):
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        for name, value in line.items():
            if name != "iteration":
                self.board.add_scalar(name.replace("_", "/", 1), value, line["iteration"])


class ProgressHook(Hook):
    """One display: a line that is rewritten on a terminal, a line per validation elsewhere.

    Args:
        batch_size: images per iteration over all processes.
        stream: where to write; standard output where None.
    """

    priority = "VERY_LOW"
    refresh_s = 0.25

    def __init__(self, *, batch_size: int, stream=None):
        self.batch_size, self.stream = batch_size, stream or sys.stdout
        self.live = self.stream.isatty()
        self.active = True
        self.drawn_at = 0.0
        self.iteration_s: float | None = None

    def before_train(self, runner):
        self.active = rank_and_world_size()[0] == 0
        self.mark = time.perf_counter()
        self.started = False

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        now = time.perf_counter()
        if self.started:  # the first iteration also starts workers and allocates memory
            self._note_duration(now - self.mark)
        self.started = True
        self.mark = now
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

    def _note_duration(self, seconds: float):
        past = self.iteration_s
        self.iteration_s = seconds if past is None else 0.9 * past + 0.1 * seconds

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
            parts.append(f"ETA {clock(left)}")
        scores = [shown_score(name, value) for name, value in runner.last_metrics.items()]
        if any(scores):
            parts.append("validation " + ", ".join(filter(None, scores)))
        return "  ".join(parts)


def shown_score(name: str, value: float) -> str:
    """A score for the progress line: shares (`*_top1`) in percent, `*_mm` in mm, others not."""
    if name.endswith("_top1"):
        return f"{name.removesuffix('_top1')} {100 * value:.1f} %"
    return f"{name.removesuffix('_mm')} {value:.1f} mm" if name.endswith("_mm") else ""


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def mean_over_processes(sums: dict, counts: dict) -> dict[str, float]:
    """Means by name of values that were summed in this process, over all processes.

    A name that one process lacks (an accuracy without labels) is left out there with count 0, so
    the names of all processes are exchanged first.
    """
    rank, world_size = rank_and_world_size()
    names = list(sums)
    if world_size > 1:
        gathered = [None] * world_size
        torch.distributed.all_gather_object(gathered, names)
        names = sorted(set().union(*gathered))
    if not names:
        return {}
    device = next((v.device for v in sums.values()), torch.device("cpu"))
    table = torch.zeros(len(names), 2, dtype=torch.float64, device=device)
    for row, name in enumerate(names):
        if name in sums:
            table[row, 0], table[row, 1] = sums[name], counts[name]
    table = sum_over_processes(table).tolist()
    return {name: total / n for name, (total, n) in zip(names, table, strict=True) if n}


def drop_lines_after(path: Path, iteration: int) -> None:
    """Keeps the lines of `metrics.jsonl` up to `iteration`; a half-written last line goes too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["iteration"] <= iteration:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            break  # a kill in the middle of a write; what follows belongs to later iterations
    with full_disk_named(path):
        write_bytes_atomically(path, "".join(kept).encode())
