"""mmengine's Runner for gesture pretraining, built here from plain sections.

Read `build_runner` from top to bottom: device, data, network, optimiser, hooks, runner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.utils.data import DataLoader

from gesture_pretrain.models.backbone import Backbone, build_backbone
from gesture_pretrain.models.gesture_heads import GestureHeads, build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.models.pretrainer import FineWeightRamp, GesturePretrainer

from .accumulation import check_parts
from .accuracy import GestureAccuracy
from .activation_checkpointing import checkpoint_activations
from .checkpoint import has_checkpoint, load_newest_checkpoint
from .compilation import check_compile, compile_network
from .device import choose_device, join_process_group, launched_by_torchrun, rank_and_world_size
from .ema import WeightAverage
from .gesture_data import GestureData, build_gesture_data
from .hooks import (
    CheckpointHook,
    LearningRateHook,
    MetricsHook,
    ProgressHook,
    WeightAverageHook,
)
from .loop import BatchEvaluator, PretrainLoop, ValidationLoop, unwrapped
from .optimizer import build_optim_wrapper, build_optimizer, choose_precision
from .schedule import Schedule
from .sections import build_from_section, check_section
from .speed import SpeedHook

CHECKPOINTS = "checkpoints"
_AT_LEAST_ONE = (
    "checkpoint_every",
    "keep_checkpoints",
    "validate_every",
    "log_every",
    "accumulate",
)


class RunData(Protocol):
    """What a run needs of its data; see `GestureData`."""

    train: DataLoader
    validation: DataLoader | None
    batch_size: int
    iterations_per_epoch: int


@dataclass(frozen=True)
class TrainingOptions:
    """How the loop runs, apart from what it trains on.

    Attributes:
        precision: "auto" (bf16 where CUDA has it, else fp32), "fp32", "bf16" or "fp16".
        clip_norm: the gradient's L2 norm is clipped to this; None for no clipping.
        ema_decay: decay of the weight average; None for no average. Where there is one, it is what
            is validated and exported.
        channels_last: memory order of weights and images; faster convolutions on most devices.
        sync_bn: batch-norm statistics over all processes (CUDA only).
        freeze_bn: batch norm keeps and uses its initial statistics.
        checkpoint_every: iterations between checkpoints; None for one per epoch.
        keep_checkpoints: how many stay.
        validate_every: iterations between validations; None for one per epoch.
        log_every: iterations between lines of metrics.jsonl.
        threads: CPU threads of torch; None leaves torch's choice.
        deterministic: refuse operations without a deterministic form (CUDA; the CPU needs no flag).
        accumulate: parts in which each process takes its share of a batch, one after the other; the
            gradient is that of the whole batch, see `accumulated_step`.
        checkpoint_activations: keep only the inputs of the backbone's blocks and compute the rest
            again for the gradient: less memory, about a third more computation.
        compile: None, or a mode of torch.compile for the network ("default", "reduce-overhead" for
            CUDA graphs, "max-autotune"). Compiling takes minutes.
        timeout_s: how long a process waits for the others before the run is given up.
        peak_tflops: what the device can do in this precision, for the share of it that is used;
            None looks it up by the device's name.
    """

    precision: str = "auto"
    clip_norm: float | None = 1.0
    ema_decay: float | None = None
    channels_last: bool = False
    sync_bn: bool = False
    freeze_bn: bool = False
    checkpoint_every: int | None = None
    keep_checkpoints: int = 2
    validate_every: int | None = None
    log_every: int = 10
    threads: int | None = None
    deterministic: bool = False
    accumulate: int = 1
    checkpoint_activations: bool = False
    compile: str | None = None
    timeout_s: float = 600.0
    peak_tflops: float | None = None

    def __post_init__(self):
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"training.{name} must be at least 1, got {value}.")
        if self.timeout_s <= 0:
            raise ValueError(f"training.timeout_s must be above 0, got {self.timeout_s}.")
        check_compile(self.compile, self.checkpoint_activations)


@dataclass(frozen=True)
class Objective:
    """Weights of the losses; see `FineWeightRamp` and `GesturePretrainer`.

    Attributes:
        coarse_weight: weight of the coarse cross entropy.
        ramp: fields of `FineWeightRamp`.
        label_smoothing: of both cross entropies.
    """

    coarse_weight: float = 1.0
    ramp: Mapping | None = None
    label_smoothing: float = 0.0


def build_runner(
    *,
    out: str | Path,
    data: Mapping,
    backbone: Mapping,
    heads: Mapping | None = None,
    objective: Mapping | None = None,
    optimizer: Mapping | None = None,
    schedule: Mapping | None = None,
    training: Mapping | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    hooks: Sequence[Hook] = (),
    progress: bool = True,
) -> "PretrainRunner":
    """Everything a run needs; `runner.train()` then trains it.

    Args:
        out: run folder; made where missing.
        data: keys of `build_gesture_data`.
        backbone: keys of `build_backbone`.
        heads: keys of `build_gesture_heads`.
        objective: keys of `Objective`.
        optimizer: keys of `build_optimizer`.
        schedule: keys of `Schedule`.
        training: keys of `TrainingOptions`.
        seed: of initial weights, order, augmentation and dropout.
        device: see `choose_device`.
        resume: go on from the newest intact checkpoint in `out`.
        hooks: further mmengine hooks.
        progress: show the progress display.

    Raises:
        ValueError: an unknown key or an impossible value; the message names it.
        FileExistsError: `out` holds checkpoints and `resume` is false.
    """
    heads, objective, optimizer, schedule, training = (
        section or {} for section in (heads, objective, optimizer, schedule, training)
    )
    check_sections(
        data=data,
        backbone=backbone,
        heads=heads,
        objective=objective,
        optimizer=optimizer,
        schedule=schedule,
        training=training,
    )
    out = Path(out)
    refuse_used_folder(out, resume)
    options = TrainingOptions(**training)
    where = start_processes(device, options)
    gesture_data = build_from_section(
        "data",
        build_gesture_data,
        data,
        size_px=backbone.get("size_px", 256),
        seed=seed,
        pin_memory=where.type == "cuda",
    )
    trunk = build_backbone(**{"seed": seed, **backbone})
    model = _build_model(trunk, gesture_data, heads, Objective(**objective), options, seed)
    model = place_model(model, where, options)
    adamw = build_optimizer(unwrapped(model), **optimizer)
    plan = Schedule(**schedule)
    average = None
    if options.ema_decay is not None:
        average = WeightAverage(unwrapped(model), options.ema_decay)
    return assemble_runner(
        out=out,
        model=model,
        data=gesture_data,
        evaluator=GestureAccuracy(),
        optim_wrapper=build_optim_wrapper(
            adamw,
            device=where,
            precision=choose_precision(options.precision, where),
            clip_norm=options.clip_norm,
        ),
        schedule=plan,
        options=options,
        weight_average=average,
        seed=seed,
        resume=resume,
        hooks=hooks,
        progress=progress,
    )


def check_sections(**sections: Mapping) -> None:
    """Raises for the first unknown or missing key of any section of `build_runner`."""
    parts = {
        "data": (build_gesture_data, ("size_px", "seed", "pin_memory")),
        "backbone": (build_backbone, ()),
        "heads": (build_gesture_heads, ("in_channels", "num_coarse", "num_fine")),
        "objective": (Objective, ()),
        "optimizer": (build_optimizer, ("model",)),
        "schedule": (Schedule, ()),
        "training": (TrainingOptions, ()),
    }
    for name, section in sections.items():
        check_section(name, parts[name][0], section, parts[name][1])
    ramp = sections.get("objective", {}).get("ramp") or {}
    check_section("objective.ramp", FineWeightRamp, ramp)


def assemble_runner(
    *,
    out: Path,
    model: nn.Module,
    data: RunData,
    evaluator: BatchEvaluator,
    optim_wrapper,
    schedule: Schedule,
    options: TrainingOptions,
    weight_average: WeightAverage | None,
    seed: int,
    resume: bool,
    hooks: Sequence[Hook] = (),
    progress: bool = True,
) -> "PretrainRunner":
    """The runner from built parts; see `build_runner`.

    Args:
        data: loaders, batch size and iterations per epoch.
        evaluator: scores the predictions on `data.validation`.
    """
    per_epoch = data.iterations_per_epoch
    check_parts(options.accumulate, data.batch_size // rank_and_world_size()[1], optim_wrapper)
    own_hooks = [
        LearningRateHook(schedule, optim_wrapper.optimizer.defaults["lr"]),
        MetricsHook(out, every=options.log_every, batch_size=data.batch_size),
        CheckpointHook(
            out / CHECKPOINTS,
            every=options.checkpoint_every or per_epoch,
            keep=options.keep_checkpoints,
        ),
    ]
    own_hooks.append(
        SpeedHook(
            out,
            every=options.log_every,
            batch_size=data.batch_size,
            peak_tflops=options.peak_tflops,
            show=progress,
        )
    )
    if weight_average is not None:
        own_hooks.append(WeightAverageHook())
    if progress:
        own_hooks.append(ProgressHook(batch_size=data.batch_size))
    validation = {}
    if data.validation is not None:
        validation = {
            "val_dataloader": data.validation,
            "val_cfg": {"type": ValidationLoop},
            "val_evaluator": evaluator,
        }
    name = f"{out.name}_{uuid4().hex[:8]}"
    runner = PretrainRunner(
        model=model,
        work_dir=str(out / "log"),
        train_dataloader=data.train,
        train_cfg={
            "type": PretrainLoop,
            "max_iters": schedule.total_iterations(per_epoch),
            "iterations_per_epoch": per_epoch,
            "validate_every": options.validate_every or per_epoch,
            "seed": seed,
            "accumulate": options.accumulate,
        },
        **validation,
        optim_wrapper=optim_wrapper,
        default_hooks=dict.fromkeys(_MMENGINE_HOOKS),
        custom_hooks=[*own_hooks, *hooks],
        launcher="pytorch" if rank_and_world_size()[1] > 1 else "none",
        visualizer=Visualizer(name=name, vis_backends=None),
        randomness={"seed": seed, "deterministic": options.deterministic},
        experiment_name=name,
        resume=resume,
    )
    runner.checkpoint_folder = out / CHECKPOINTS
    runner.weight_average = weight_average
    runner.data = data
    return runner


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
        """The model as it is: `build_runner` has placed it."""
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


def refuse_used_folder(out: Path, resume: bool) -> None:
    """Raises FileExistsError where `out` holds checkpoints and the run is not to go on."""
    if not resume and has_checkpoint(out / CHECKPOINTS):
        raise FileExistsError(
            f"{out} holds the checkpoints of a run. Add --resume to go on with it, or choose "
            "another --out."
        )


def start_processes(device: str, options: TrainingOptions) -> torch.device:
    """The device of this process; joins the group of processes where torchrun started it."""
    where = choose_device(device)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if launched_by_torchrun():
        join_process_group(where, timeout_s=options.timeout_s)
    return where


def _build_model(
    trunk: Backbone,
    data: GestureData,
    heads: Mapping,
    objective: Objective,
    options: TrainingOptions,
    seed: int,
) -> GesturePretrainer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifiers: GestureHeads = build_gesture_heads(
            trunk.pooled_channels,
            num_coarse=data.taxonomy.num_coarse,
            num_fine=data.taxonomy.num_fine,
            **heads,
        )
    model = GesturePretrainer(
        GestureNetwork(trunk, classifiers),
        ramp=FineWeightRamp(**(objective.ramp or {})),
        coarse_weight=objective.coarse_weight,
        label_smoothing=objective.label_smoothing,
        channels_last=options.channels_last,
    )
    if options.freeze_bn:
        freeze_batch_norm(model)
    return model


def freeze_batch_norm(model: nn.Module) -> None:
    """Batch norm uses its stored statistics and leaves them as they are, in training too."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.train = lambda mode=True, module=module: module


def place_model(model: BaseModel, device: torch.device, options: TrainingOptions) -> nn.Module:
    """The model on its device, wrapped where several processes train it, compiled where asked."""
    model = model.to(device)
    if options.checkpoint_activations:
        checkpoint_activations(backbone_of(model))
    model = _over_processes(model, device, options)
    if options.compile is not None:
        compile_network(unwrapped(model), options.compile)
    return model


def backbone_of(model: nn.Module) -> Backbone:
    """The backbone in a model of a run, Stage 1 or pose."""
    return model.network.backbone if isinstance(model, GesturePretrainer) else model.backbone


def _over_processes(model: BaseModel, device: torch.device, options: TrainingOptions) -> nn.Module:
    if rank_and_world_size()[1] == 1:
        return model
    if options.sync_bn:
        if device.type != "cuda":
            raise ValueError("training.sync_bn needs CUDA. Leave it off, or use freeze_bn.")
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return MMDistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        broadcast_buffers=True,  # batch-norm statistics are the first process's
    )
