"""mmengine's Runner with our loops, hooks and checkpoints, the same for Stage 1 and pose.

Read `assemble_runner` from top to bottom: optimiser wrapper, hooks, loops, runner.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.utils.data import DataLoader

from gesture_pretrain.pretraining.data import GestureData
from gesture_pretrain.training.device import rank_and_world_size, start_process
from gesture_pretrain.training.hooks import (
    CheckpointHook,
    LearningRateHook,
    MetricsHook,
    ProgressHook,
    WeightAverageHook,
)
from gesture_pretrain.training.loop import BatchEvaluator, PretrainLoop, ValidationLoop, unwrapped
from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.runs.checkpoint import (
    CHECKPOINTS,
    load_newest_checkpoint,
    refuse_used_folder,
)
from gesture_pretrain.training.runs.speed import SpeedHook
from gesture_pretrain.training.step.accumulation import check_parts
from gesture_pretrain.training.step.ema import WeightAverage
from gesture_pretrain.training.step.optimizer import build_optim_wrapper, choose_precision
from gesture_pretrain.training.step.schedule import Schedule

# mmengine's default hooks that ours stand in for; its checkpoints cannot be read safely, and its
# log goes to the console.
_MMENGINE_HOOKS = (
    "runtime_info",
    "timer",
    "sampler_seed",
    "logger",
    "param_scheduler",
    "checkpoint",
)


class RunData(Protocol):
    """What a run needs of its data; see `GestureData`."""

    train: DataLoader
    validation: DataLoader | None
    batch_size: int
    iterations_per_epoch: int


class BegunRun(NamedTuple):
    """What a run is begun with.

    Attributes:
        out: its folder.
        options: how its loop goes.
        device: of this process.
    """

    out: Path
    options: TrainingOptions
    device: torch.device


def begin_run(out: str | Path, training: Mapping, *, device: str, resume: bool) -> BegunRun:
    """Refuses a used folder, then starts this process.

    Args:
        out: run folder.
        training: keys of `TrainingOptions`.
        device: see `choose_device`.
        resume: the run goes on from a checkpoint in `out`.

    Raises:
        FileExistsError: `out` holds checkpoints and `resume` is false.
    """
    refuse_used_folder(Path(out), resume)
    options = TrainingOptions(**training)
    where = start_process(device, threads=options.threads, timeout_s=options.timeout_s)
    return BegunRun(Path(out), options, where)


class PretrainRunner(Runner):
    """mmengine's Runner with a quiet console, placed models, and checkpoints that resume exactly.

    Attributes:
        checkpoint_folder: where `CheckpointHook` writes.
        weight_average: averaged weights, or None.
        data: loaders and what they hold.
        last_metrics: scores of the last validation.
        last_losses: means of the last line of metrics.
    """

    checkpoint_folder: Path
    weight_average: WeightAverage | None = None
    data: RunData | None = None

    def __init__(self, **kwargs):
        self.last_metrics: dict[str, float] = {}
        self.last_losses: dict[str, float] = {}
        super().__init__(**kwargs)

    @property
    def gesture_data(self) -> GestureData:
        """`data` of a run that `build_runner` made."""
        return self.data

    def build_logger(self, log_level="INFO", log_file=None, **kwargs) -> MMLogger:
        """mmengine's logger, to its file only."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in [h for h in logger.handlers if not hasattr(h, "baseFilename")]:
            logger.removeHandler(handler)
        return logger

    def wrap_model(self, model_wrapper_cfg, model: nn.Module) -> nn.Module:
        """The model as it is: `place_model` has placed it."""
        return model

    def dump_config(self) -> None:
        """Nothing: the run folder has `config.py`."""

    def load_or_resume(self) -> None:
        """Goes on from the newest intact checkpoint where that was asked for and one is there."""
        if not self._resume or self._has_loaded:
            return
        self._has_loaded = True
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
                "Resume with a schedule of at least its length, or choose another --out."
            )
        if is_main:
            for note in loaded.notes:
                print(note)
            print(f"Going on from {loaded.path.name}, iteration {self.iter} of {self.max_iters}.")

    def gather_run_state(self) -> None:
        """What all processes do before the first one takes `run_state`.

        Raises:
            NonFiniteLoss: the last step was not taken.
        """
        self.train_loop.settle()
        optimizer = self.optim_wrapper.optimizer
        if isinstance(optimizer, ZeroRedundancyOptimizer):
            optimizer.consolidate_state_dict(to=0)

    def run_state(self) -> dict:
        """All that the rest of the run depends on, apart from the config and the iteration."""
        average = self.weight_average
        return {
            "model": dict(unwrapped(self.model).state_dict()),
            "optimizer": self.optim_wrapper.state_dict(),
            "weight_average": None if average is None else average.state_dict(),
            "last_metrics": dict(self.last_metrics),
        }

    def load_run_state(self, state: dict) -> None:
        """Takes over what `run_state` gave, strictly, and the iteration."""
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

    def _log_env(self, env_cfg: dict) -> None:
        """Nothing: `run.json` has it, without starting a compiler to ask for its version."""


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
) -> PretrainRunner:
    """The runner of a run, Stage 1 or pose, from built parts.

    Args:
        out: run folder; made where missing.
        model: placed on its device, see `place_model`.
        data: loaders, batch size and iterations per epoch.
        evaluator: scores the predictions on `data.validation`.
        optimizer: of the model's parameters.
        schedule: length of the run and learning rate over it.
        options: of the loop.
        device: of this process.
        seed: of the random numbers of the network.
        resume: go on from the newest intact checkpoint in `out`.
        hooks: further mmengine hooks.
        progress: show the progress display.

    Raises:
        ValueError: a precision that the device does not have, or a batch that cannot be cut into
            `options.accumulate` parts.
    """
    optim_wrapper = build_optim_wrapper(
        optimizer,
        device=device,
        precision=choose_precision(options.precision, device),
        clip_norm=options.clip_norm,
    )
    world_size = rank_and_world_size()[1]
    check_parts(options.accumulate, data.batch_size // world_size, optim_wrapper)
    peak_lr = optimizer.defaults["lr"]
    own_hooks = _own_hooks(out, data, options, LearningRateHook(schedule, peak_lr), progress)
    name = f"{out.name}_{uuid4().hex[:8]}"
    runner = PretrainRunner(
        model=model,
        work_dir=str(out / "log"),
        **_loops(data, evaluator, schedule, options, seed),
        optim_wrapper=optim_wrapper,
        default_hooks=dict.fromkeys(_MMENGINE_HOOKS),
        custom_hooks=[*own_hooks, *hooks],
        launcher="pytorch" if world_size > 1 else "none",
        visualizer=Visualizer(name=name, vis_backends=None),
        randomness={"seed": seed, "deterministic": options.deterministic},
        experiment_name=name,
        resume=resume,
    )
    runner.checkpoint_folder = out / CHECKPOINTS
    if options.ema_decay is not None:
        runner.weight_average = WeightAverage(unwrapped(model), options.ema_decay)
    runner.data = data
    return runner


def _own_hooks(
    out: Path,
    data: RunData,
    options: TrainingOptions,
    learning_rate: LearningRateHook,
    progress: bool,
) -> list[Hook]:
    hooks = [
        learning_rate,
        MetricsHook(out, every=options.log_every, batch_size=data.batch_size),
        CheckpointHook(
            out / CHECKPOINTS,
            every=options.checkpoint_every or data.iterations_per_epoch,
            keep=options.keep_checkpoints,
        ),
        SpeedHook(
            out,
            every=options.log_every,
            batch_size=data.batch_size,
            peak_tflops=options.peak_tflops,
            show=progress,
        ),
    ]
    if options.ema_decay is not None:
        hooks.append(WeightAverageHook())
    if progress:
        hooks.append(ProgressHook(batch_size=data.batch_size))
    return hooks


def _loops(
    data: RunData,
    evaluator: BatchEvaluator,
    schedule: Schedule,
    options: TrainingOptions,
    seed: int,
) -> dict[str, Any]:
    """mmengine's arguments of the training loop, and of validation where there are data for it."""
    per_epoch = data.iterations_per_epoch
    training = {
        "train_dataloader": data.train,
        "train_cfg": {
            "type": PretrainLoop,
            "max_iters": schedule.total_iterations(per_epoch),
            "iterations_per_epoch": per_epoch,
            "validate_every": options.validate_every or per_epoch,
            "seed": seed,
            "accumulate": options.accumulate,
        },
    }
    if data.validation is None:
        return training
    return {
        **training,
        "val_dataloader": data.validation,
        "val_cfg": {"type": ValidationLoop},
        "val_evaluator": evaluator,
    }
