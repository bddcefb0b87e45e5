"""Selection of the images that probes are fitted on and evaluated with."""

from dataclasses import dataclass

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.splits.held_out import hold_out_some
from gesture_pretrain.evaluation.features.models import INDEX_LABELS
from gesture_pretrain.taxonomy import Taxonomy

DEFAULT_SPLITS = ("test", "val")
HELD_OUT = "held_out"


@dataclass(frozen=True)
class ProbedImages:
    """The images of an evaluation.

    Attributes:
        train: (N,) rows that probes are fitted on.
        evaluated: (M,) rows that are scored.
        split: Name of the evaluated part: a split, or "held_out" for held-out training images.
        has_gestures: Whether all of these images have a gesture label; else they have 3D joints.
        note: One sentence on the choice, for the log and the report.
    """

    train: np.ndarray
    evaluated: np.ndarray
    split: str
    has_gestures: bool
    note: str


def choose_images(
    index: HandIndex, taxonomy: Taxonomy, *, train_split: str, split: str | None
) -> ProbedImages:
    """Choose images with gesture labels if there are any in both parts, else images with joints.

    Args:
        index: The data.
        taxonomy: Assigns the gesture labels.
        train_split: Split that probes are fitted on.
        split: Split to evaluate; None for "test" or else "val", whichever has labelled images, or
            else for held-out images of the training split.

    Raises:
        ValueError: There are neither labels nor joints to measure.
    """
    splits = [split] if split is not None else [s for s in DEFAULT_SPLITS if s != train_split]
    for has_gestures, rows_of in ((True, _labelled_rows), (False, _rows_with_joints)):
        train = rows_of(index, train_split, taxonomy)
        for candidate in splits if len(train) else ():
            evaluated = rows_of(index, candidate, taxonomy)
            if len(evaluated):
                note = _note(index, candidate, len(evaluated), has_gestures)
                return ProbedImages(train, evaluated, candidate, has_gestures, note)
        if split is None and len(train):
            held = hold_out_some(index, train).rows
            note = (
                f"Neither test nor val has images to evaluate: {len(held):,} images of "
                f"{train_split} are held out."
            )
            return ProbedImages(np.setdiff1d(train, held), held, HELD_OUT, has_gestures, note)
    raise ValueError(
        f"No image of split '{split or train_split}' in {index.root} has a label of taxonomy "
        f"'{taxonomy.name}', or 3D joints of a single hand. The index has labels such as "
        f"{', '.join(index.labels[:4])}. Choose another taxonomy, or '{INDEX_LABELS}', which "
        "makes each label a class."
    )


def _labelled_rows(index: HandIndex, split: str, taxonomy: Taxonomy) -> np.ndarray:
    return index.select(split=split, labelled_by=taxonomy)


def _rows_with_joints(index: HandIndex, split: str, taxonomy: Taxonomy) -> np.ndarray:
    if "step_has_joints" not in index.columns:
        return np.empty(0, np.int64)
    rows = index.select(split=split, hands=["right", "left"])
    return rows[index.columns["step_has_joints"][index.values("step", rows)] > 0]


def _note(index: HandIndex, split: str, count: int, has_gestures: bool) -> str:
    of = len(index.select(split=split))
    what = "a gesture label" if has_gestures else "3D joints of a single hand"
    return f"{count:,} of {of:,} images of {split} have {what} and are evaluated."
