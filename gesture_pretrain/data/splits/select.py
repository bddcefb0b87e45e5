"""Select the training and validation rows of a run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gesture_pretrain.data.index.fraction import select_fraction
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.splits.held_out import hold_out_named, hold_out_some
from gesture_pretrain.data.splits.neutral_ends import NeutralEnds
from gesture_pretrain.taxonomy import Taxonomy

HELD_OUT_KINDS = ("subjects", "captures")


class SplitRows(NamedTuple):
    """The rows of a run.

    Attributes:
        train: (N,) rows to train on.
        validation: (M,) rows to validate on; M is 0 without validation.
        validated_on: What the validation rows are, as plain data for a card: `split`, `images`,
            and for images held out of the training split `subjects`, `captures` or
            `fraction_of_moments`. None without validation.
    """

    train: np.ndarray
    validation: np.ndarray
    validated_on: dict[str, Any] | None


def select_splits(
    index: HandIndex,
    *,
    train_split: str = "train",
    val_split: str | None = "val",
    val_subjects: Sequence[int] | None = None,
    val_captures: Sequence[int] | None = None,
    hands: str | Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    subjects: Sequence[int] | None = None,
    single_hand_only: bool = False,
    labelled_by: Taxonomy | None = None,
    neutral_ends: NeutralEnds | None = None,
    fraction: float = 1.0,
    fraction_seed: int = 0,
    val_images: int | None = None,
    overfit: int | None = None,
) -> SplitRows:
    """Select the rows of a run.

    Args:
        index: The data.
        train_split: Split to train on.
        val_split: Split to validate on; None for no validation. If it has no image that passes the
            filters, images of the training split are held out instead, see `hold_out_some`.
        val_subjects: Subjects of the training split to hold out and validate on instead of
            `val_split`; None for none.
        val_captures: The same for captures of the training split.
        hands, labels, single_hand_only, labelled_by: Filters of `HandIndex.select` for both splits.
        subjects: Subject numbers to train on; None for all. Images of other subjects stay in the
            validation split.
        neutral_ends: Leaves images out of training if its mode is "mask".
        fraction: Fraction of the training images that are left.
        fraction_seed: Seed of the fraction; the seed of the run does not affect it.
        val_images: Validate on this many images, evenly spread over the split; None for all.
        overfit: Train and validate on this many images of the training split.

    Raises:
        ValueError: The filters leave no image to train on, or none can be held out.
    """
    filters = {
        "hands": hands,
        "labels": labels,
        "single_hand_only": single_hand_only,
        "labelled_by": labelled_by,
    }
    train = index.select(split=train_split, subjects=subjects, **filters)
    _require_rows(train, index, train_split)
    if overfit is not None:
        train = spread(select_fraction(index, train, fraction, seed=fraction_seed), overfit)
        return SplitRows(train, train, {"split": train_split, "images": len(train)})
    validation, source = np.empty(0, np.int64), None
    held = None
    if val_subjects is not None or val_captures is not None:
        held = hold_out_named(index, train, subjects=val_subjects, captures=val_captures)
    elif val_split is not None:
        validation = index.select(split=val_split, **filters)
        source = {"split": val_split}
        if len(validation) == 0:
            held = hold_out_some(index, train)
    if held is not None:
        train, validation = np.setdiff1d(train, held.rows), held.rows
        source = {"split": train_split, **held.source}
    validation = spread(validation, val_images)
    if source is not None:
        source = {**source, "images": len(validation)}
    train = _training_part(index, train, neutral_ends, fraction, fraction_seed)
    return SplitRows(train, validation, source)


def describe_validation(validated_on: Mapping[str, Any] | None) -> str:
    """Describe the validation data in one sentence for the log."""
    if validated_on is None:
        return "There is no validation (data.val_split is None)."
    images = f"{validated_on['images']:,} images"
    split = f"split '{validated_on['split']}'"
    named = [_named(kind, validated_on[kind]) for kind in HELD_OUT_KINDS if kind in validated_on]
    if named:
        return f"{images} of {' and '.join(named)} of {split}, held out of training."
    if "fraction_of_moments" in validated_on:
        part = f"{100 * validated_on['fraction_of_moments']:g} % of the moments"
        return f"{images}: {part} of {split}, held out of training in proportion to the labels."
    return f"{images} of {split}."


def _named(kind: str, numbers: Sequence[int]) -> str:
    noun = kind if len(numbers) > 1 else kind.removesuffix("s")
    return f"{noun} {', '.join(map(str, numbers))}"


def spread(rows: np.ndarray, count: int | None) -> np.ndarray:
    """Return `count` evenly spaced rows; all if `count` is None or larger."""
    if count is None or count >= len(rows):
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]


def _training_part(
    index: HandIndex,
    rows: np.ndarray,
    neutral_ends: NeutralEnds | None,
    fraction: float,
    fraction_seed: int,
) -> np.ndarray:
    """Leave masked ends out of the training rows, and select the fraction."""
    if neutral_ends is not None and neutral_ends.mode == "mask":
        rows = rows[neutral_ends.weights(index, rows) > 0]
        if len(rows) == 0:
            raise ValueError(
                "data.neutral_ends masks every training image. Choose a smaller fraction."
            )
    return select_fraction(index, rows, fraction, seed=fraction_seed)


def _require_rows(rows: np.ndarray, index: HandIndex, split: str) -> None:
    if len(rows) == 0:
        raise ValueError(
            f"No image of split '{split}' (data.train_split) of {index.root} passes the filters. "
            "Check data.hands, data.labels, data.subjects and data.taxonomy: with "
            "data.labelled_only, images whose label is not in the taxonomy are left out."
        )
