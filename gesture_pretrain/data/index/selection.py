"""Choosing rows of an index: by split, hand, gesture, subject, and as a fraction of the labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

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
    human_annotated: bool | None = None,
    exclude_rows: Iterable[int] | None = None,
) -> np.ndarray:
    """Rows of an index that pass every filter.

    Args:
        index: the index.
        split: "train", "val" or "test".
        hands: of "right", "left", "interacting", "unknown".
        labels: source labels (sequence or folder names).
        subjects: subject numbers; they are per data set, not per split.
        single_hand_only: only images whose annotation is of one hand.
        labelled_by: only images that this taxonomy gives a gesture.
        fraction: share of what passed the other filters, in (0, 1]. Taken per label and split,
            rounded to whole time steps and at least one: no view of a kept moment is left out and
            none of a dropped one is left in. A smaller fraction is a subset of a larger one.
        seed: another seed, another part.
        human_annotated: only images in (True) or not in (False) the lists of human annotations.
        exclude_rows: rows to leave out, e.g. the black images that `verify` found.

    Returns:
        Ascending int64 rows; may be empty.

    Raises:
        ValueError: a name that the index does not have, a fraction outside (0, 1], or
            `human_annotated` where the index was built without the lists.
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
    if human_annotated is not None:
        keep &= _human_mask(index, human_annotated)
    if exclude_rows is not None:
        keep[np.asarray(list(exclude_rows), np.int64)] = False
    rows = np.flatnonzero(keep).astype(np.int64)
    return _part(index, rows, fraction, seed)


def _positions(names: Iterable[str], known: Iterable[str], what: str) -> np.ndarray:
    if isinstance(names, str):
        names = [names]
    place = {name: k for k, name in enumerate(known)}
    names = list(names)
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
    """Whether each image gets a gesture: asked once per (label, hand) that could occur."""
    fits = [
        [label in taxonomy.coarse_of and taxonomy.accepts(label, hand) for hand in HANDS]
        for label in index.labels
    ]
    table = np.array(fits, bool).reshape(len(index.labels), len(HANDS))
    return table[index.values("sequence"), index.values("hand")]


def _human_mask(index: HandIndex, human_annotated: bool) -> np.ndarray:
    if "human" not in index.columns:
        raise ValueError(
            "this index does not know which images people annotated; put "
            "aid_human_annot_train.txt and aid_human_annot_test.txt beside the annotations and "
            "build it again"
        )
    return index.values("human") == int(human_annotated)


def _part(index: HandIndex, rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f"fraction is {fraction}; it must be above 0 and at most 1")
    if fraction == 1.0 or len(rows) == 0:
        return rows
    steps, first, step_of_row = np.unique(
        index.values("step", rows), return_index=True, return_inverse=True
    )
    group = index.values("sequence", rows[first]).astype(np.int64) * 4
    group += index.columns["step_split"][steps]
    order = _scrambled(np.asarray(index.columns["step_key"][steps]), seed)
    kept = np.zeros(len(steps), bool)
    for value in np.unique(group):
        members = np.flatnonzero(group == value)
        count = max(1, round(fraction * len(members)))
        kept[members[np.argsort(order[members], kind="stable")[:count]]] = True
    return rows[kept[step_of_row]]


def _scrambled(keys: np.ndarray, seed: int) -> np.ndarray:
    """A 64-bit hash of (seed, key): the mixing steps of splitmix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        x = keys.astype(np.uint64) + np.uint64(seed % 2**64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
