"""Which rows of an index a run trains on and which it validates on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gesture_pretrain.data.index.index import HandIndex


class SplitRows(NamedTuple):
    """Rows (N,) to train on and (M,) to validate on; M is 0 where nothing is validated."""

    train: np.ndarray
    validation: np.ndarray


def select_splits(
    index: HandIndex,
    *,
    train_split: str,
    val_split: str | None,
    filters: Mapping,
    subjects: Sequence[int] | None,
    fraction: float,
    seed: int,
    val_images: int | None,
    overfit: int | None,
) -> SplitRows:
    """The rows of a run.

    Args:
        index: the data.
        train_split: split that is trained on.
        val_split: split that is validated on; None for no validation.
        filters: further arguments of `HandIndex.select`, for both splits.
        subjects: subject numbers to train on; None for all.
        fraction: share of the training rows, drawn with `seed`.
        seed: key of the fraction.
        val_images: validate on this many rows, evenly spread over the split; None for all.
        overfit: train and validate on this many rows of the training split alone.

    Raises:
        ValueError: the filters leave no row of a split.
    """
    train = index.select(
        split=train_split, subjects=subjects, fraction=fraction, seed=seed, **filters
    )
    _require_rows(train, index, train_split, "train_split")
    if overfit is not None:
        train = spread(train, overfit)
        return SplitRows(train, train)
    if val_split is None:
        return SplitRows(train, np.empty(0, np.int64))
    validation = spread(index.select(split=val_split, **filters), val_images)
    _require_rows(validation, index, val_split, "val_split")
    return SplitRows(train, validation)


def spread(rows: np.ndarray, count: int | None) -> np.ndarray:
    """`count` of the rows, evenly spaced; all of them where `count` is None or larger."""
    if count is None or count >= len(rows):
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]


def _require_rows(rows: np.ndarray, index: HandIndex, split: str, key: str) -> None:
    if len(rows) == 0:
        raise ValueError(
            f"No image is left of split '{split}' (data.{key}) of {index.root} after the filters. "
            "Look at data.hands, data.labels, data.subjects, data.fraction and data.taxonomy: with "
            "labelled_only, images whose label is not in the taxonomy are left out."
        )
