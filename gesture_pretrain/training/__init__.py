"""The training engine shared by all stages."""

from gesture_pretrain.training.checkpoint import CHECKPOINTS, has_checkpoint, load_newest_checkpoint
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.placement import (
    evaluated_model,
    freeze_batch_norm,
    place_model,
    unwrapped,
)
from gesture_pretrain.training.run_folder import (
    current_commit,
    library_versions,
    write_run_folder,
)
from gesture_pretrain.training.run_lock import run_lock
from gesture_pretrain.training.runner import TrainingRunner, assemble_runner, begin_run
from gesture_pretrain.training.schedule import Schedule
from gesture_pretrain.training.stopped import TrainingStopped

__all__ = [
    "CHECKPOINTS",
    "Schedule",
    "TrainingOptions",
    "TrainingRunner",
    "TrainingStopped",
    "assemble_runner",
    "begin_run",
    "build_optimizer",
    "current_commit",
    "evaluated_model",
    "freeze_batch_norm",
    "has_checkpoint",
    "library_versions",
    "load_newest_checkpoint",
    "place_model",
    "run_lock",
    "unwrapped",
    "write_run_folder",
]
