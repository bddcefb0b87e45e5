"""Select a fraction of the rows of an index in whole time steps, and count what rows hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gesture_pretrain.data.index.record import SPLITS

if TYPE_CHECKING:
    from gesture_pretrain.data.index.index import HandIndex


def select_fraction(
    index: HandIndex, rows: np.ndarray, fraction: float, *, seed: int = 0
) -> np.ndarray:
    """Select a fraction of some rows, as exactly as whole time steps allow.

    The time steps of a label and split are taken in a random order, and labels take turns in
    proportion to their numbers of time steps (Sainte-Laguë's rule). Labels with too few time steps
    for the fraction get none. A smaller fraction is a subset of a larger one; largest-remainder
    rounding does not guarantee that. All views of a selected time step are selected.

    Args:
        index: The index.
        rows: (N,) ascending rows.
        fraction: Fraction in (0, 1].
        seed: Seed of the random order.

    Returns:
        Ascending int64 rows; at least one time step if there is any row.

    Raises:
        ValueError: The fraction is outside (0, 1].
    """
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f"fraction is {fraction}; it must be above 0 and at most 1")
    if fraction == 1.0 or len(rows) == 0:
        return rows
    steps, first, step_of_row, views = np.unique(
        index.values("step", rows), return_index=True, return_inverse=True, return_counts=True
    )
    label = index.values("sequence", rows[first]).astype(np.int64)
    group = label * len(SPLITS) + index.columns["step_split"][steps]
    order = _in_turn(group, _scrambled(np.asarray(index.columns["step_key"][steps]), seed))
    images = np.cumsum(views[order])
    count = 1 + int(np.argmin(np.abs(images - fraction * len(rows))))
    kept = np.zeros(len(steps), bool)
    kept[order[:count]] = True
    return rows[kept[step_of_row]]


def _in_turn(group: np.ndarray, random: np.ndarray) -> np.ndarray:
    """Return (T,) time steps in the order in which they are selected.

    The k-th of the n time steps of a group is due at the fraction (k + 1/2) / n.
    """
    by_group = np.lexsort((random, group))
    _, starts, sizes = np.unique(group[by_group], return_index=True, return_counts=True)
    rank = np.arange(len(group)) - np.repeat(starts, sizes)
    due = np.empty(len(group))
    due[by_group] = (rank + 0.5) / np.repeat(sizes, sizes)
    return np.lexsort((random, due))


class RowCounts(NamedTuple):
    """Numbers of images, time steps (moments) and distinct labels."""

    images: int
    moments: int
    labels: int

    def __str__(self) -> str:
        return f"{self.images:,} images of {self.moments:,} moments and {self.labels:,} labels"


def count_rows(index: HandIndex, rows: np.ndarray) -> RowCounts:
    """Count the images, moments and labels of some rows."""
    moments = np.unique(index.values("step", rows))
    labels = np.unique(index.values("sequence", rows))
    return RowCounts(len(rows), len(moments), len(labels))


def require_distinct_fractions(
    rows_of: Callable[[float], np.ndarray], fractions: Sequence[float]
) -> None:
    """Refuse fractions that select the same rows.

    Args:
        rows_of: Returns the rows of a fraction.
        fractions: The fractions to compare.

    Raises:
        ValueError: Two fractions select the same rows.
    """
    ordered = sorted(fractions)
    sizes = [len(rows_of(fraction)) for fraction in ordered]
    for k in range(1, len(ordered)):
        if sizes[k] == sizes[k - 1]:  # nested, so that equal sizes are equal rows
            raise ValueError(
                f"The fractions {ordered[k - 1]:g} and {ordered[k]:g} select the same {sizes[k]:,} "
                "images. Choose fractions that differ by at least one time step."
            )


def _scrambled(keys: np.ndarray, seed: int) -> np.ndarray:
    """Hash (seed, key) to 64 bits by the mixing steps of splitmix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        x = keys.astype(np.uint64) + np.uint64(seed % 2**64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
