"""Hold images of the training split out for validation: whole subjects, captures or moments."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gesture_pretrain.data.index.fraction import select_fraction
from gesture_pretrain.data.index.index import HandIndex

LEAST_FRACTION = 0.02  # of the images; subjects and captures are held out until they have as many
LARGEST_FRACTION = 0.5  # training keeps at least the other half
MOMENTS_FRACTION = 0.1  # of the images, where neither subjects nor captures are known
_MOMENTS_SEED = 0x4E1D


class HeldOut(NamedTuple):
    """Images of the training split that are validated on.

    Attributes:
        rows: (M,) rows.
        source: What they are, as plain data for a card: `subjects`, `captures` or
            `fraction_of_moments`.
    """

    rows: np.ndarray
    source: dict[str, Any]


def hold_out_named(
    index: HandIndex,
    rows: np.ndarray,
    *,
    subjects: Sequence[int] | None,
    captures: Sequence[int] | None,
) -> HeldOut:
    """Hold out all rows of the named subjects and captures.

    Args:
        index: The data.
        rows: (N,) rows of the training split.
        subjects: Subject numbers; None for none.
        captures: Capture numbers of the training split; None for none.

    Raises:
        ValueError: A subject or capture has no image among the rows, or no image is left to train
            on.
    """
    held, source = np.zeros(len(rows), bool), {}
    for kind, names in (("subject", subjects), ("capture", captures)):
        if names is not None:
            values = _values(index, kind, rows)
            _require_present(kind, names, values)
            held |= np.isin(values, list(names))
            source[f"{kind}s"] = sorted(int(name) for name in names)
    if held.all():
        raise ValueError(
            f"data.val_subjects and data.val_captures hold all {len(rows):,} training images out. "
            "Name fewer of them."
        )
    return HeldOut(rows[held], source)


def hold_out_some(index: HandIndex, rows: np.ndarray) -> HeldOut:
    """Hold out as few images as a validation needs.

    These are whole subjects where there are several, else whole captures, else a tenth of the
    moments with the labels in proportion.

    Args:
        index: The data.
        rows: (N,) rows of the training split.

    Raises:
        ValueError: The rows show a single moment.
    """
    for kind in ("subject", "capture"):
        values = _values(index, kind, rows)
        chosen = _fewest_groups(values)
        if chosen:
            return HeldOut(rows[np.isin(values, chosen)], {f"{kind}s": chosen})
    held = select_fraction(index, rows, MOMENTS_FRACTION, seed=_MOMENTS_SEED)
    if len(held) == len(rows):
        raise ValueError(
            f"The {len(rows)} training images show a single moment, so that none can be held out "
            "for validation. Set data.val_split=none to train without validation."
        )
    return HeldOut(held, {"fraction_of_moments": MOMENTS_FRACTION})


def _values(index: HandIndex, kind: str, rows: np.ndarray) -> np.ndarray:
    """Return (N,) subject or capture numbers; -1 where they are unknown."""
    if kind == "subject" and "subject" not in index.columns:
        return np.full(len(rows), -1)
    return index.values(kind, rows).astype(np.int64)


def _require_present(kind: str, names: Sequence[int], values: np.ndarray) -> None:
    missing = sorted(set(names) - set(values.tolist()))
    if missing:
        known = ", ".join(map(str, np.unique(values).tolist()))
        raise ValueError(
            f"data.val_{kind}s names {kind} {missing[0]}, which has no image in the training split "
            f"after the filters. There are {known}."
        )


def _fewest_groups(values: np.ndarray) -> list[int]:
    """Choose the smallest group with enough images, or else several small ones.

    The result is empty if that is not possible within the limits.
    """
    groups, counts = np.unique(values, return_counts=True)
    if len(groups) < 2:
        return []
    least, most = LEAST_FRACTION * len(values), LARGEST_FRACTION * len(values)
    order = np.argsort(counts, kind="stable")
    for k in order:
        if least <= counts[k] <= most:
            return [int(groups[k])]
    chosen = order[np.cumsum(counts[order]) <= most]
    enough = 1 + int(np.searchsorted(np.cumsum(counts[chosen]), least))
    return sorted(groups[chosen[:enough]].tolist())
