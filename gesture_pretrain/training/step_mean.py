"""Denominators of masked losses over a whole training step.

A masked loss is a sum over valid entries divided by their count. A step may be distributed over
processes, and its batch split into parts whose gradients are accumulated. The mean of the parts'
means differs from the mean of the whole batch unless all parts have equally many valid entries.
`step_mean_count` therefore returns the count of the whole step divided by the number of parts, so
that averaging over parts and processes gives the mean of the whole batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed

_SMALLEST = 1e-9
_active: "list[StepCounts]" = []


def step_mean_count(count: Tensor) -> Tensor:
    """Return the mean number of valid entries per part of the step, a float64 scalar above 0.

    Args:
        count: Number of valid entries of this part in this process.
    """
    count = count.detach().double()
    whole = _active[-1].exchange(count) if _active else _mean_over_processes(count)
    return whole.clamp(min=_SMALLEST)


class StepCounts:
    """Counts of a step whose batch is split into parts.

    The losses of each part are first computed inside `collecting`, on arbitrary predictions, and
    then inside `giving` on the real ones. Both passes must request the same counts in the same
    order.
    """

    def __init__(self):
        self._totals: list[Tensor] = []
        self._parts, self._next, self._given = 0, 0, False

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Record the counts of one part."""
        self._parts += 1
        with self._in_use():
            yield

    @contextmanager
    def giving(self) -> Iterator[None]:
        """Return the counts over all parts."""
        if not self._given and self._totals:
            self._given = True
            table = _mean_over_processes(torch.stack(self._totals) / self._parts)
            self._totals = list(table)
        with self._in_use():
            yield

    def exchange(self, count: Tensor) -> Tensor:
        """Record the next count of a part, or return that of the whole step."""
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
                f"a part of the step requested {self._next} counts, others "
                f"{len(self._totals)}: the number of losses must not depend on the data of a part"
            )


def _mean_over_processes(counts: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        counts = counts.clone()
        distributed.all_reduce(counts)
        counts = counts / distributed.get_world_size()
    return counts
