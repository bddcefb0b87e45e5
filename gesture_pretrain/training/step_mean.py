"""Denominators of masked losses, over everything that one training step averages.

A masked loss is a sum over the valid entries, divided by their count. Where a step is divided among
processes, and its batch into parts whose gradients are accumulated, the mean of the parts' means is
not the mean of the whole unless every part has as many valid entries. `step_mean_count` therefore
gives the count of the whole step, as a mean per part; then the average over parts and processes is
the mean of the whole batch, however the valid entries are spread.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed

_SMALLEST = 1e-9
_active: "list[StepCounts]" = []


def step_mean_count(count: Tensor) -> Tensor:
    """Valid entries of the whole step over the number of its parts, above 0; a float64 scalar.

    Args:
        count: Valid entries of this part, in this process.
    """
    count = count.detach().double()
    whole = _active[-1].exchange(count) if _active else _mean_over_processes(count)
    return whole.clamp(min=_SMALLEST)


class StepCounts:
    """The counts of a step whose batch is taken in parts; without it a batch is one part.

    First each part's losses are run inside `collecting`, on any predictions, then inside `giving`
    on the real ones. Both times they must ask for the same counts in the same order.
    """

    def __init__(self):
        self._totals: list[Tensor] = []
        self._parts, self._next, self._given = 0, 0, False

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Notes the counts of one part."""
        self._parts += 1
        with self._in_use():
            yield

    @contextmanager
    def giving(self) -> Iterator[None]:
        """Answers with the counts of all parts."""
        if not self._given and self._totals:
            self._given = True
            table = _mean_over_processes(torch.stack(self._totals) / self._parts)
            self._totals = list(table)
        with self._in_use():
            yield

    def exchange(self, count: Tensor) -> Tensor:
        """Takes the next count of a part in, or gives that of the whole step out."""
        place, self._next = self._next, self._next + 1
        if self._given:
            return self._totals[place]
        if place == len(self._totals):
            self._totals.append(torch.zeros_like(count))
        self._totals[place] = self._totals[place] + count
        return count

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        self._next = 0
        _active.append(self)
        try:
            yield
        finally:
            _active.pop()
        if self._next != len(self._totals):
            raise RuntimeError(
                f"a part of the step asked for {self._next} counts, others for "
                f"{len(self._totals)}: its losses must not depend on what the part holds"
            )


def _mean_over_processes(counts: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        counts = counts.clone()
        distributed.all_reduce(counts)
        counts = counts / distributed.get_world_size()
    return counts
