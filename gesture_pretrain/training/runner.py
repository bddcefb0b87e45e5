"""The training runner shared by all stages.

`assemble_runner` builds it from top to bottom: optimiser wrapper, hooks, loops, runner.

From mmengine, it uses models (`train_step`, `val_step`), optimiser wrappers, the distributed
wrapper, and hooks with their priorities, so that hooks written for mmengine work here. mmengine's
own `Runner` is not used: it chooses the device itself, starts a logger and a visualiser, runs a
compiler to query its version, unpickles checkpoints without a check, and stores random states.
Nearly every method would have to be overridden.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import get_priority
from torch import nn
from torch.utils.data import DataLoader

from gesture_pretrain.device import start_process
from gesture_pretrain.precision import choose_precision
from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.accumulation import check_parts
from gesture_pretrain.training.checkpoint import (
    CHECKPOINTS,
    load_newest_checkpoint,
    refuse_used_folder,
)
from gesture_pretrain.training.ema import WeightAverage
from gesture_pretrain.training.hooks import (
    CheckpointHook,
    LearningRateHook,
    MetricsHook,
    ProgressHook,
    WeightAverageHook,
)
from gesture_pretrain.training.loop import BatchEvaluator, TrainingLoop, ValidationLoop
from gesture_pretrain.training.optimizer import build_optim_wrapper
from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.placement import set_backends, unwrapped
from gesture_pretrain.training.schedule import Schedule


class RunData(Protocol):
    """Data of a run, such as `gesture_pretrain.data.samples.loaders.Loaders`."""

    train: DataLoader
    validation: DataLoader | None
    batch_size: int
    iterations_per_epoch: int


def begin_run(
    out: str | Path, options: TrainingOptions, *, device: str, resume: bool
) -> tuple[Path, torch.device]:
    """Check the run folder, then initialise this process.

    Args:
        out: Run folder.
        options: Options of the training loop.
        device: See `choose_device`.
        resume: Continue from a checkpoint in `out`.

    Returns:
        The run folder, and the device of this process.

    Raises:
        FileExistsError: `out` contains checkpoints and `resume` is false.
    """
    refuse_used_folder(Path(out), resume)
    where = start_process(device, threads=options.threads, timeout_s=options.timeout_s)
    set_backends(options)
    return Path(out), where


class TrainingRunner:
    """Runs the loops and hooks of a run, with exact resumption.

    Args:
        model: Model on its device, see `place_model`.
        optim_wrapper: Optimiser wrapper.
        data: Loaders and their sizes.
        hooks: Hooks of mmengine. Those of equal priority are called in this order.
        checkpoint_folder: Folder that `CheckpointHook` writes to.
        weight_average: Averaged weights, or None.
        resume: Continue from the newest intact checkpoint.

    Attributes:
        train_loop, val_loop: The loops, set by `assemble_runner`. `val_loop` is None without
            validation.
        last_metrics: Scores of the last validation.
        last_losses: Mean losses of the last line of metrics.
    """

    train_loop: TrainingLoop
    val_loop: ValidationLoop | None = None

    def __init__(
        self,
        *,
        model: nn.Module,
        optim_wrapper: OptimWrapper,
        data: RunData,
        hooks: Sequence[Hook],
        checkpoint_folder: Path,
        weight_average: WeightAverage | None,
        resume: bool,
    ):
        self.model, self.optim_wrapper, self.data = model, optim_wrapper, data
        self.hooks = sorted(hooks, key=lambda hook: get_priority(hook.priority))
        self.checkpoint_folder, self.weight_average = checkpoint_folder, weight_average
        self.resume = resume
        self.last_metrics: dict[str, float] = {}
        self.last_losses: dict[str, float] = {}

    @property
    def iter(self) -> int:
        """Iterations trained so far."""
        return self.train_loop.iter

    @property
    def max_iters(self) -> int:
        """Iterations of the whole run."""
        return self.train_loop.max_iters

    @property
    def epoch(self) -> int:
        """Epoch of the next iteration, from 0."""
        return self.train_loop.epoch

    def train(self) -> nn.Module:
        """Train to the end of the schedule and return the model.

        Raises:
            TrainingStopped: The run ended early and can be resumed.
        """
        self.call_hook("before_run")
        if self.resume:
            self._resume_newest()
        # initialises step counters, as every mmengine loop does
        self.optim_wrapper.initialize_count_status(self.model, self.iter, self.max_iters)
        self.train_loop.run()
        self.call_hook("after_run")
        return self.model

    def call_hook(self, name: str, **arguments) -> None:
        """Call a hook point of all hooks that have it, by priority."""
        for hook in self.hooks:
            point = getattr(hook, name, None)
            if point is not None:
                point(self, **arguments)

    def run_state(self) -> dict:
        """Return the state that the rest of the run depends on, except config and iteration."""
        average = self.weight_average
        return {
            "model": dict(unwrapped(self.model).state_dict()),
            "optimizer": self.optim_wrapper.state_dict(),
            "weight_average": None if average is None else average.state_dict(),
            "last_metrics": dict(self.last_metrics),
        }

    def load_run_state(self, state: dict) -> None:
        """Restore the state of `run_state` strictly, and the iteration."""
        unwrapped(self.model).load_state_dict(state["model"], strict=True)
        self.optim_wrapper.load_state_dict(state["optimizer"])
        if (self.weight_average is None) != (state["weight_average"] is None):
            raise ValueError(
                "The checkpoint was written "
                + ("with" if self.weight_average is None else "without")
                + " a weight average. Resume with the same training.ema_decay."
            )
        if self.weight_average is not None:
            self.weight_average.load_state_dict(state["weight_average"])
        self.last_metrics = dict(state["last_metrics"])
        self.train_loop.iter = state["iteration"]

    def _resume_newest(self) -> None:
        loaded = load_newest_checkpoint(self.checkpoint_folder)
        is_main = rank_and_world_size()[0] == 0
        if loaded is None:
            if is_main:
                print(f"No checkpoint in {self.checkpoint_folder} yet; starting at iteration 0.")
            return
        self.load_run_state(loaded.state)
        if self.iter > self.max_iters:
            raise ValueError(
                f"{loaded.path} is beyond the end of the schedule, {self.max_iters} iterations. "
                "Resume with a schedule of at least its length, or choose another folder."
            )
        if is_main:
            for note in loaded.notes:
                print(note)
            print(f"Resuming from {loaded.path.name}, iteration {self.iter} of {self.max_iters}.")


def assemble_runner(
    *,
    out: Path,
    model: nn.Module,
    data: RunData,
    evaluator: BatchEvaluator,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    options: TrainingOptions,
    device: torch.device,
    seed: int,
    resume: bool,
    hooks: Sequence[Hook] = (),
    progress: bool = True,
) -> TrainingRunner:
    """Assemble the runner of a run from built parts.

    Args:
        out: Run folder, created if missing.
        model: Model on its device, see `place_model`.
        data: Loaders, batch size and iterations per epoch.
        evaluator: Scores the predictions on `data.validation`.
        optimizer: Optimiser of the model's parameters.
        schedule: Length and learning rate of the run.
        options: Options of the training loop.
        device: Device of this process.
        seed: Random seed of the network.
        resume: Continue from the newest intact checkpoint in `out`.
        hooks: Additional mmengine hooks.
        progress: Show the progress display.

    Raises:
        ValueError: The device does not support the precision, or the batch cannot be split into
            `options.accumulate` parts.
    """
    optim_wrapper = build_optim_wrapper(
        optimizer,
        device=device,
        precision=choose_precision(options.precision, device),
        clip_norm=options.clip_norm,
    )
    check_parts(options.accumulate, data.batch_size // rank_and_world_size()[1], optim_wrapper)
    average = None
    if options.ema_decay is not None:
        average = WeightAverage(unwrapped(model), options.ema_decay)
    runner = TrainingRunner(
        model=model,
        optim_wrapper=optim_wrapper,
        data=data,
        hooks=[
            LearningRateHook(schedule, optimizer.defaults["lr"]),
            *_own_hooks(out, data, options, progress),
            *hooks,
        ],
        checkpoint_folder=out / CHECKPOINTS,
        weight_average=average,
        resume=resume,
    )
    runner.train_loop = TrainingLoop(
        runner,
        data.train,
        max_iters=schedule.total_iterations(data.iterations_per_epoch),
        iterations_per_epoch=data.iterations_per_epoch,
        validate_every=options.validate_every or data.iterations_per_epoch,
        seed=seed,
        accumulate=options.accumulate,
    )
    if data.validation is not None:
        runner.val_loop = ValidationLoop(runner, data.validation, evaluator)
    return runner


def _own_hooks(out: Path, data: RunData, options: TrainingOptions, progress: bool) -> list[Hook]:
    hooks = [
        MetricsHook(out, every=options.log_every, batch_size=data.batch_size),
        CheckpointHook(
            out / CHECKPOINTS,
            every=options.checkpoint_every or data.iterations_per_epoch,
            keep=options.keep_checkpoints,
        ),
    ]
    if options.ema_decay is not None:
        hooks.append(WeightAverageHook())
    if progress:
        hooks.append(ProgressHook(batch_size=data.batch_size))
    return hooks
