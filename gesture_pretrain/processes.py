"""The processes of a run: their number, their process group, and what they exchange."""

import math
import os
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_cpu_groups: dict[Any, Any] = {}  # by the default group that each stands beside


def rank_and_world_size() -> tuple[int, int]:
    """(rank, number of processes); (0, 1) without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def launched_by_torchrun() -> bool:
    """Return whether the environment describes a process group, as torchrun does.

    Raises:
        ValueError: several processes were started without it, or its description is incomplete.
            Each of them would train the whole run in the same folder.
    """
    missing = [name for name in _TORCHRUN if name not in os.environ]
    if not missing:
        return True
    if len(missing) < len(_TORCHRUN):
        raise ValueError(
            f"The environment describes a process group without {', '.join(missing)}. Start the "
            "processes with torchrun, or set all of " + ", ".join(_TORCHRUN) + "."
        )
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))
    if tasks > 1:
        raise ValueError(
            f"srun started {tasks} processes that do not know of each other. Start one task per "
            "node and let it run torchrun, see docs/performance.md."
        )
    return False


def join_process_group(device: torch.device, *, timeout_s: float = 600.0) -> None:
    """Join the group described in the environment, over NCCL for CUDA and gloo for a CPU.

    Args:
        device: Device of this process.
        timeout_s: Time after which a process stops waiting for the others, s.
    """
    if dist.is_initialized():
        return
    os.environ.setdefault("MKL_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", timeout=timedelta(seconds=timeout_s)
    )


def sum_over_processes(values: torch.Tensor) -> torch.Tensor:
    """Sum `values` element by element over all processes, in place; one process keeps its own."""
    if rank_and_world_size()[1] > 1:
        dist.all_reduce(values)
    return values


def gather_objects(value: Any) -> list[Any]:
    """Gather a picklable value of every process, by rank, through the memory of the hosts.

    Over NCCL the pickled bytes of all processes would have to fit each GPU.
    """
    world_size = rank_and_world_size()[1]
    if world_size == 1:
        return [value]
    gathered = [None] * world_size
    dist.all_gather_object(gathered, value, group=_cpu_group())
    return gathered


def exact_sums(terms: np.ndarray | None, columns: int) -> list[float]:
    """Sum each column over the terms of all processes, correctly rounded.

    The result does not depend on how the terms are ordered or spread over the processes.

    Args:
        terms: (N, columns) float64 of this process; None where it has none.
        columns: Number of columns.
    """
    own = np.empty((0, columns)) if terms is None else np.asarray(terms, np.float64)
    if own.ndim != 2 or own.shape[1] != columns:
        raise ValueError(f"terms have shape {own.shape}; needed is (N, {columns})")
    return [math.fsum(column) for column in np.concatenate(gather_objects(own)).T]


def _cpu_group():
    """Return None for a default group over gloo, or else a gloo group of the same processes."""
    if dist.get_backend() == "gloo":
        return None
    world = dist.group.WORLD
    if world not in _cpu_groups:
        _cpu_groups[world] = dist.new_group(backend="gloo")
    return _cpu_groups[world]
