"""Data of a run: taxonomy, training and validation loaders, from one index."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from gesture_pretrain.data.index.fraction import count_rows
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import NONE
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.hand_crops import CropPlan
from gesture_pretrain.data.samples.loaders import announcer, build_loaders, check_batch_size
from gesture_pretrain.data.samples.sampling import class_balanced_weights
from gesture_pretrain.data.splits.select import SplitRows, describe_validation
from gesture_pretrain.pretraining.data_section import DataSection, GestureDataSection
from gesture_pretrain.taxonomy import Taxonomy


class GestureData(NamedTuple):
    """Loaders of a run and their metadata.

    Attributes:
        taxonomy: Classes of the labels, after applying the label variant.
        train: Endless loader of this process's part of each batch.
        validation: Finite loader of this process's part; None without validation.
        batch_size: Images per iteration over all processes.
        iterations_per_epoch: Full batches in one pass over the training rows.
        summary: Counts and settings for the run's record.
    """

    taxonomy: Taxonomy
    train: DataLoader
    validation: DataLoader | None
    batch_size: int
    iterations_per_epoch: int
    summary: dict


def build_gesture_data(
    section: GestureDataSection,
    *,
    size_px: int,
    seed: int,
    pin_memory: bool = False,
    crops: CropPlan | None = None,
) -> GestureData:
    """Open the index and build both loaders.

    Args:
        section: Which images, and how they are loaded.
        size_px: Side length of the square crops.
        seed: Random seed of order and augmentation.
        pin_memory: Use page-locked batches, for copies to CUDA.
        crops: Crops of each training image; None for one, see `GestureDataset`.

    Raises:
        ValueError: No image is left, or the batch size is not divisible by the number of processes.
    """
    index = HandIndex.open(section.index)
    classes = section.load_taxonomy(index)
    check_batch_size(section.batch_size)
    rows = section.select(index, classes)
    announce_rows(index, rows)

    def dataset(of_rows: np.ndarray, **options) -> GestureDataset:
        return GestureDataset(
            index,
            of_rows,
            classes,
            size_px,
            seed=seed,
            box_ratio=section.box_ratio,
            box_source=section.box_source,
            reduced_decode=section.reduced_decode,
            shards=section.shards,
            **options,
        )

    train_set, val_set = build_datasets(dataset, rows, section)
    train_set.crops = crops  # a validation image has one crop
    loaders = build_loaders(
        train_set,
        val_set,
        batch_size=section.batch_size,
        workers=section.workers,
        seed=seed,
        pin_memory=pin_memory,
        weights=_draw_weights(train_set, section),
        groups=index.values("step", rows.train) if section.views_per_moment > 1 else None,
        together=section.views_per_moment,
    )
    facts = row_facts(index, rows, section)
    if section.withheld:
        facts["withheld"] = section.withheld_labels(index)
    return GestureData(classes, *loaders, describe_data(index, classes, **facts))


def _draw_weights(dataset: GestureDataset, section: GestureDataSection) -> np.ndarray | None:
    """Compute sampling weights (N,) of the training images; None to use each once per epoch."""
    weights = class_balanced_weights(dataset.coarse) if section.class_balanced else None
    by_position = section.position_weights(dataset.index, dataset.rows)
    if weights is None or by_position is None:
        return by_position if weights is None else weights
    return weights * by_position


def announce_rows(index: HandIndex, rows: SplitRows) -> None:
    """Print once per run which images are used for training and validation."""
    if (say := announcer("Training")) is not None:
        say(f"{count_rows(index, rows.train)}.")
    if (say := announcer("Validation")) is not None:
        say(describe_validation(rows.validated_on))


def row_facts(index: HandIndex, rows: SplitRows, section: DataSection) -> dict[str, Any]:
    """Count the rows of a run for its record."""
    train = count_rows(index, rows.train)
    return {
        "train_images": train.images,
        "train_moments": train.moments,
        "train_labels": train.labels,
        "val_images": len(rows.validation),
        "train_split": section.train_split,
        "val_split": section.val_split,
        "validated_on": rows.validated_on,
    }


def build_datasets(
    build: Callable[..., Dataset], rows: SplitRows, section: DataSection
) -> tuple[Any, Any]:
    """Build the training and the validation set; the latter is None without validation.

    Args:
        build: Function `build(rows, *, augmentation, announce)` that builds a dataset.
        rows: Rows of both sets.
        section: Its augmentation is that of the training set, unless it overfits one batch.
    """
    motion = NONE if section.overfit else section.augmentation
    train = build(rows.train, augmentation=motion, announce=announcer("Training"))
    if len(rows.validation) == 0:
        return train, None
    return train, build(rows.validation, augmentation=NONE, announce=announcer("Validation"))


def describe_data(index: HandIndex, taxonomy: Taxonomy, **facts) -> dict:
    """Describe the data of a run for its record: index, taxonomy and `facts`."""
    return {
        "index": str(Path(index.root)),
        "taxonomy": taxonomy.name,
        "taxonomy_sha256": taxonomy.sha256,
        **facts,
        "source": dict(index.meta),
    }
