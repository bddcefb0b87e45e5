"""Endless, counter-based stream of batches of samples.

Batch k depends only on (seed, k): not on earlier batches, on the number of loading workers, or on
the number of training processes. A run can therefore continue from any iteration, and N processes
together see exactly the batches of one.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

# last word of the counter: keeps this stream apart from the augmentation's
_ORDER_STREAM = 2

SampleKey = int | tuple[int, int]  # a position, or (epoch, position) as `EpochBatchSampler` gives


class EpochBatchSampler(Sampler):
    """Endless batches of (epoch, position) for `DataLoader(batch_sampler=...)`.

    An epoch is one random order of all samples, cut into whole batches; the remainder is not used
    in that epoch. With `weights`, samples are drawn with replacement instead.

    Args:
        num_samples: Size of the dataset (N).
        batch_size: Samples per iteration over all processes together.
        seed: Key of the order.
        rank: Index of this process, from 0.
        world_size: Number of processes; each gets an equal, contiguous part of every batch.
        start_iteration: First batch; may be set later, before the loader is iterated.
        weights: (N,) non-negative weights for draws with replacement, such as
            `class_balanced_weights`.
        groups: (N,) group of every sample, such as its time step; None to ignore groups.
        together: Number of samples of a group that follow one another in the order.

    Raises:
        ValueError: The arguments contradict each other.
    """

    def __init__(
        self,
        num_samples: int,
        *,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        start_iteration: int = 0,
        weights: Sequence[float] | None = None,
        groups: Sequence[int] | None = None,
        together: int = 1,
    ):
        _check_sizes(num_samples, batch_size, rank, world_size)
        if groups is not None and weights is not None:
            raise ValueError("Samples are drawn by groups or by weights; give one of the two.")
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.start_iteration = start_iteration
        self.groups = None if groups is None else np.asarray(groups)
        self.together = together
        self._cumulative = None if weights is None else _cumulative(weights, num_samples)

    @property
    def iterations_per_epoch(self) -> int:
        """Whole batches in one pass over the samples."""
        return self.num_samples // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        iteration = self.start_iteration
        while True:
            epoch, first = divmod(iteration, self.iterations_per_epoch)
            order = self._epoch_positions(epoch)
            for batch in range(first, self.iterations_per_epoch):
                yield self._part_of_batch(epoch, batch, order)
            iteration = (epoch + 1) * self.iterations_per_epoch

    def _part_of_batch(self, epoch: int, batch: int, order: np.ndarray) -> list[tuple[int, int]]:
        share = self.batch_size // self.world_size
        start = batch * self.batch_size + self.rank * share
        positions = order[start : start + share].tolist()
        if self._cumulative is None:
            return [(epoch, position) for position in positions]
        # A sample may be drawn twice in an epoch: number the draws, or both would be the same crop.
        draw = epoch * self.num_samples + start
        return [(draw + i, position) for i, position in enumerate(positions)]

    def _epoch_positions(self, epoch: int) -> np.ndarray:
        """Return (N,) positions in the order in which the epoch visits them."""
        key = np.array([self.seed, epoch], np.uint64)
        counter = np.array([0, 0, 0, _ORDER_STREAM], np.uint64)
        stream = np.random.Generator(np.random.Philox(key=key, counter=counter))
        if self._cumulative is None:
            order = stream.permutation(self.num_samples)
            return order if self.groups is None else self._grouped(order, stream)
        total = self._cumulative[-1]
        drawn = np.minimum(stream.random(self.num_samples) * total, np.nextafter(total, 0))
        return np.searchsorted(self._cumulative, drawn, side="right")

    def _grouped(self, order: np.ndarray, stream: np.random.Generator) -> np.ndarray:
        """Reorder (N,) positions so that `together` samples of a group are adjacent."""
        groups = self.groups[order]
        by_group = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[by_group], prepend=-1))
        number = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
        opens_run = number % self.together == 0
        runs = np.cumsum(opens_run) - 1
        places = stream.permutation(opens_run.sum())
        return order[by_group][np.argsort(places[runs], kind="stable")]


def epochs_and_positions(keys: Sequence[SampleKey]) -> tuple[list[int], np.ndarray]:
    """Split keys into epochs (default 0) and (B,) int64 positions."""
    pairs = [key if isinstance(key, tuple) else (0, key) for key in keys]
    return [epoch for epoch, _ in pairs], np.array([place for _, place in pairs], np.int64)


def class_balanced_weights(class_ids: Sequence[int]) -> np.ndarray:
    """Return (N,) float64 weights 1 / (number of samples of the class); 0 for class -1 (no label).

    Raises:
        ValueError: No sample has a class.
    """
    ids = np.asarray(class_ids)
    labelled = ids >= 0
    if not labelled.any():
        raise ValueError("Class-balanced sampling needs samples with a class; all are -1.")
    weights = np.zeros(len(ids))
    weights[labelled] = 1 / np.bincount(ids[labelled])[ids[labelled]]
    return weights


def _cumulative(weights: Sequence[float], num_samples: int) -> np.ndarray:
    values = np.asarray(weights, np.float64)
    if len(values) != num_samples:
        raise ValueError(f"{len(values)} weights for {num_samples} samples; give one per sample.")
    if not (np.isfinite(values) & (values >= 0)).all() or not values.any():
        raise ValueError("Weights must be finite, not negative, and not all zero.")
    return np.cumsum(values)


def _check_sizes(num_samples: int, batch_size: int, rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is not one of 0 .. world_size - 1 = {world_size - 1}.")
    if batch_size < 1 or batch_size % world_size:
        raise ValueError(
            f"batch_size {batch_size} (over all processes) must be a positive multiple of "
            f"world_size {world_size}."
        )
    if num_samples < batch_size:
        raise ValueError(
            f"{num_samples} samples do not fill one batch of {batch_size}. Choose a batch_size of "
            f"at most {num_samples}."
        )
