"""Select rows of an index by split, hand, gesture and subject, and a fraction of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from gesture_pretrain.data.index.fraction import select_fraction
from gesture_pretrain.data.index.record import HANDS, SPLITS

if TYPE_CHECKING:
    from gesture_pretrain.data.index.index import HandIndex
    from gesture_pretrain.taxonomy import Taxonomy


def select_rows(
    index: HandIndex,
    *,
    split: str | None = None,
    hands: Iterable[str] | None = None,
    labels: Iterable[str] | None = None,
    subjects: Iterable[int] | None = None,
    single_hand_only: bool = False,
    labelled_by: Taxonomy | None = None,
    fraction: float = 1.0,
    seed: int = 0,
    exclude_rows: Iterable[int] | None = None,
) -> np.ndarray:
    """Select the rows of an index that pass every filter.

    Args:
        index: The index.
        split: "train", "val" or "test".
        hands: Some of "right", "left", "interacting" and "unknown".
        labels: Source labels (sequence or folder names).
        subjects: Subject numbers; they identify a person in all splits.
        single_hand_only: Keep only images in which one hand is annotated.
        labelled_by: Keep only images to which this taxonomy assigns a gesture.
        fraction: Fraction of the images that pass the other filters, in (0, 1]; see
            `select_fraction`.
        seed: Seed of the fraction.
        exclude_rows: Rows to leave out, such as the black images that `verify` found.

    Returns:
        Ascending int64 rows; may be empty.

    Raises:
        ValueError: The index has no such name, or the fraction is outside (0, 1].
    """
    keep = np.ones(len(index), bool)
    if split is not None:
        wanted = _positions([split], SPLITS, "split")
        keep &= np.isin(index.values("split"), wanted)
    if hands is not None:
        keep &= np.isin(index.values("hand"), _positions(hands, HANDS, "hand"))
    if labels is not None:
        keep &= np.isin(index.values("sequence"), _positions(labels, index.labels, "label"))
    if subjects is not None:
        keep &= _subject_mask(index, subjects)
    if single_hand_only:
        keep &= index.values("hand") < 2
    if labelled_by is not None:
        keep &= _labelled_mask(index, labelled_by)
    if exclude_rows is not None:
        keep[np.asarray(list(exclude_rows), np.int64)] = False
    rows = np.flatnonzero(keep).astype(np.int64)
    return select_fraction(index, rows, fraction, seed=seed)


def _positions(names: Iterable[str], known: Iterable[str], what: str) -> np.ndarray:
    place = {name: k for k, name in enumerate(known)}
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in place]
    if unknown:
        listed = ", ".join(list(place)[:12]) + (", ..." if len(place) > 12 else "")
        raise ValueError(f"unknown {what} {', '.join(map(repr, unknown))}; there are {listed}")
    return np.array([place[name] for name in names], np.int64)


def _subject_mask(index: HandIndex, subjects: Iterable[int]) -> np.ndarray:
    if "subject" not in index.columns:
        raise ValueError(f"{index.meta['data_name']} does not tell subjects apart")
    of_image = index.values("subject")
    wanted = np.array(sorted(subjects), np.int64)
    missing = np.setdiff1d(wanted, of_image)
    if len(missing):
        there = ", ".join(map(str, np.unique(of_image)))
        raise ValueError(f"no images of subject {', '.join(map(str, missing))}; there are {there}")
    return np.isin(of_image, wanted)


def _labelled_mask(index: HandIndex, taxonomy: Taxonomy) -> np.ndarray:
    """Return whether each image gets a gesture: asked once per (label, hand) that could occur."""
    fits = [
        [label in taxonomy.coarse_of and taxonomy.accepts(label, hand) for hand in HANDS]
        for label in index.labels
    ]
    table = np.array(fits, bool).reshape(len(index.labels), len(HANDS))
    return table[index.values("sequence"), index.values("hand")]
