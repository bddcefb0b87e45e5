"""Data of a pose run: training and validation loaders of single hands from an index."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.loaders import build_loaders, check_batch_size
from gesture_pretrain.data.samples.supervision import count_supervision
from gesture_pretrain.data.splits.select import select_splits
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.pretraining.data import (
    announce_rows,
    build_datasets,
    describe_data,
    load_taxonomy,
    row_facts,
)
from gesture_pretrain.skeleton import HANDS
from gesture_pretrain.taxonomy import Taxonomy


class PoseData(NamedTuple):
    """Loaders of a run and their contents.

    Attributes:
        index: The data.
        taxonomy: Gesture classes of the labels.
        train: Endless loader of this process's part of each batch.
        validation: Finite loader of this process's part; None without validation.
        batch_size: Images per iteration over all processes.
        iterations_per_epoch: Whole batches in one pass over the training rows.
        summary: Counts and settings for the run's record.
    """

    index: HandIndex
    taxonomy: Taxonomy
    train: DataLoader
    validation: DataLoader | None
    batch_size: int
    iterations_per_epoch: int
    summary: dict


def build_pose_data(
    *,
    build_dataset: Callable[..., Dataset],
    size_px: int,
    seed: int,
    hand_models: Mapping[str, HandModel],
    pin_memory: bool = False,
    index: str | Path,
    taxonomy: str = "interhand26m",
    train_split: str = "train",
    val_split: str | None = "val",
    val_subjects: Sequence[int] | None = None,
    val_captures: Sequence[int] | None = None,
    hands: str | Sequence[str] = HANDS,
    labels: Sequence[str] | None = None,
    subjects: Sequence[int] | None = None,
    labelled_only: bool = False,
    fraction: float = 1.0,
    fraction_seed: int = 0,
    val_images: int | None = None,
    batch_size: int = 64,
    workers: int = 2,
    augmentation: Mapping | None = None,
    shards: str | Path | None = None,
    overfit: bool = False,
) -> PoseData:
    """Open the index and build both loaders.

    Which images are in which batch, and how each is augmented, depends on this section and the
    run's seed alone, not on the network: runs of one target that differ in backbone or options see
    the same samples in the same order. (Two targets may: one can leave out rows that it cannot use,
    and says so.)

    Args:
        build_dataset: The target's method, see `adapters.targets.PoseTarget`.
        size_px: Side of the square crops.
        seed: Key of order and augmentation.
        hand_models: "right" and "left".
        pin_memory: Use page-locked batches, for copies to CUDA.
        index: Index folder, or a data root with `index` in it.
        taxonomy: Packaged name, path of a CSV, or "index_labels".
        train_split: Training split.
        val_split: Split to validate on; None for no validation. If it has no image of a single
            hand, images of the training split are held out instead.
        val_subjects: Subjects of the training split to hold out and validate on.
        val_captures: Captures of the training split to hold out and validate on.
        hands: "right", "left" or both.
        labels: Source labels to keep; None for all.
        subjects: Subject numbers to train on; None for all. Validation keeps all of its split.
        labelled_only: Leave out images that the taxonomy has no class for.
        fraction: Fraction of the training images whose pose labels are used, by label and whole
            time steps; a smaller fraction is a subset of a larger one of the same `fraction_seed`.
        fraction_seed: Random seed of the fraction, independent of the run's `seed`.
        val_images: Validate on this many images, evenly spread over the split; None for all.
        batch_size: Images per iteration over all processes.
        workers: Loading processes per training process.
        augmentation: Fields of `Augmentation`; None for its defaults.
        shards: Folder made by tools/prepare_data.py shards; None reads the image files.
        overfit: Train on one unaugmented batch, and validate on it, to check that the errors
            can reach zero.

    Raises:
        ValueError: No images are left, two-handed images are asked for, the batch does not divide
            among the processes, or the target cannot read shards.
        DataError: The shards are damaged, unfinished, or made of another index, or no training
            image has a camera and either 3D joints or a MANO fit.
    """
    hand_index = HandIndex.open(index)
    classes = load_taxonomy(taxonomy, None, 0, hand_index)
    check_batch_size(batch_size)
    rows = select_splits(
        hand_index,
        train_split=train_split,
        val_split=val_split,
        val_subjects=val_subjects,
        val_captures=val_captures,
        hands=_single_hands(hands),
        labels=labels,
        labelled_by=classes if labelled_only else None,
        subjects=subjects,
        fraction=fraction,
        fraction_seed=fraction_seed,
        val_images=val_images,
        overfit=batch_size if overfit else None,
    )
    announce_rows(hand_index, rows)
    further = {} if shards is None else {"shards": shards}

    def dataset(of_rows: np.ndarray, **options) -> Dataset:
        return build_dataset(
            hand_index,
            of_rows,
            classes,
            size_px,
            hand_models=hand_models,
            seed=seed,
            **further,
            **options,
        )

    train_set, val_set = build_datasets(dataset, rows, augmentation, overfit=overfit)
    supervision = count_supervision(hand_index, train_set.rows)
    supervision.require_any(hand_index)
    loaders = build_loaders(
        train_set, val_set, batch_size=batch_size, workers=workers, seed=seed, pin_memory=pin_memory
    )
    summary = describe_data(
        hand_index,
        classes,
        index_fingerprint=hand_index.fingerprint,
        **row_facts(hand_index, rows, train_split=train_split, val_split=val_split)
        | {
            "train_images": len(train_set),
            "val_images": 0 if val_set is None else len(val_set),
            "fraction": fraction,
            "supervision": supervision._asdict(),
        },
    )
    return PoseData(hand_index, classes, *loaders, summary)


def _single_hands(hands: str | Sequence[str]) -> list[str]:
    chosen = [hands] if isinstance(hands, str) else list(hands)
    others = [name for name in chosen if name not in HANDS]
    if others or not chosen:
        raise ValueError(
            f"data.hands is {hands!r}; a pose is learned from images of one hand: 'right', 'left' "
            "or both of them"
        )
    return chosen
