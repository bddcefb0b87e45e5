"""Loaders of a run; each process loads its part of every batch."""

from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from gesture_pretrain.data.samples.gesture_dataset import prepare_worker
from gesture_pretrain.data.samples.sampling import EpochBatchSampler
from gesture_pretrain.processes import rank_and_world_size

LARGEST_EVALUATED = 64  # images at once, in one process


class Loaders(NamedTuple):
    """Loaders of a run.

    Attributes:
        train: Endless loader of this process's part of each batch.
        validation: Finite loader of this process's part; None without validation.
        batch_size: Images per iteration over all processes.
        iterations_per_epoch: Whole batches in one pass over the training rows.
    """

    train: DataLoader
    validation: DataLoader | None
    batch_size: int
    iterations_per_epoch: int


def build_loaders(
    train_set: Dataset,
    val_set: Dataset | None,
    *,
    batch_size: int,
    workers: int,
    seed: int,
    pin_memory: bool,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    together: int = 1,
) -> Loaders:
    """Build the training and validation loaders of a run.

    Args:
        train_set: Training set.
        val_set: Validation set, or None.
        batch_size: Images per iteration over all processes; a smaller dataset makes it smaller.
        workers: Loading processes per training process.
        seed: Key of the order.
        pin_memory: Use page-locked batches, for copies to CUDA.
        weights: (N,) weights that training samples are drawn with; None to use each once per
            epoch.
        groups, together: See `EpochBatchSampler`.
    """
    rank, world_size = rank_and_world_size()
    batch_size = _filled_batch_size(batch_size, len(train_set), world_size)
    sampler = EpochBatchSampler(
        len(train_set),
        batch_size=batch_size,
        seed=seed,
        rank=rank,
        world_size=world_size,
        weights=weights,
        groups=groups,
        together=together,
    )
    train = make_loader(train_set, workers, seed, pin_memory, batch_sampler=sampler)
    validation = None
    if val_set is not None:
        batches = own_batches(len(val_set), batch_size, rank, world_size)
        validation = make_loader(val_set, workers, seed, pin_memory, batch_sampler=batches)
    return Loaders(train, validation, batch_size, sampler.iterations_per_epoch)


def _filled_batch_size(batch_size: int, images: int, world_size: int) -> int:
    """Cap the batch size at the dataset size, with a notice."""
    filled = min(batch_size, images // world_size * world_size)
    say = announcer("Training")
    if filled < batch_size and say is not None:
        say(f"There are {images} images: batches hold {filled}, not data.batch_size={batch_size}.")
    return filled


def own_batches(count: int, batch_size: int, rank: int, world_size: int) -> list[range]:
    """Return a process's batches of a pass over `count` samples, without overlap between processes.

    Whole batches are distributed so that results equal those of a single process: the number of
    images computed at once can change the last digit.

    Args:
        count: Samples.
        batch_size: Batch size over all processes, capped at `LARGEST_EVALUATED` per process.
        rank, world_size: Index of the process, and number of processes.
    """
    size = min(batch_size, LARGEST_EVALUATED)
    batches = [range(start, min(start + size, count)) for start in range(0, count, size)]
    return batches[rank::world_size]


def check_batch_size(batch_size: int) -> None:
    """Raise ValueError unless the batch divides evenly among the processes."""
    _, world_size = rank_and_world_size()
    if batch_size % world_size:
        raise ValueError(
            f"data.batch_size is the batch over all processes: {batch_size} does not divide among "
            f"{world_size}. Choose a multiple of {world_size}."
        )


def announcer(name: str):
    """Return a function that prints a dataset's description once per run."""
    rank, _ = rank_and_world_size()
    return (lambda text: print(f"{name}. {text}")) if rank == 0 else None


def make_loader(
    dataset: Dataset, workers: int, seed: int, pin_memory: bool, **batching
) -> DataLoader:
    """Build a loader whose workers do not depend on torch's global generator."""
    # Without this generator the loader would draw its base seed from torch's global one.
    return DataLoader(
        dataset,
        num_workers=workers,
        worker_init_fn=prepare_worker,
        generator=torch.Generator().manual_seed(seed),
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        **batching,
    )
