"""Data of a pose run: training and validation loaders of single hands from an index."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field
from torch.utils.data import DataLoader, Dataset

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.loaders import build_loaders, check_batch_size
from gesture_pretrain.data.samples.supervision import count_supervision
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.pretraining.data import (
    announce_rows,
    build_datasets,
    describe_data,
    row_facts,
)
from gesture_pretrain.pretraining.data_section import DataSection
from gesture_pretrain.schema import section
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


@section
class PoseDataSection(DataSection):
    """Section `data` of a pose run; the fields are those of `DataSection`.

    Attributes:
        hands: "right", "left" or both: a pose is learned from images of one hand.
        labelled_only: Leave out images that the taxonomy has no class for.
    """

    hands: Literal[HANDS] | Annotated[Sequence[Literal[HANDS]], Field(min_length=1)] = HANDS
    labelled_only: bool = False


def build_pose_data(
    section: PoseDataSection,
    *,
    build_dataset: Callable[..., Dataset],
    size_px: int,
    seed: int,
    hand_models: Mapping[str, HandModel],
    pin_memory: bool = False,
) -> PoseData:
    """Open the index and build both loaders.

    The batches and their augmentation depend on the section and the run's seed alone: runs of a
    target that differ in backbone or options see the same samples in the same order. Runs of two
    targets may differ, because a target leaves out rows that it cannot use.

    Args:
        section: Which images, and how they are loaded.
        build_dataset: The target's method, see `adapters.targets.PoseTarget`.
        size_px: Side of the square crops.
        seed: Key of order and augmentation.
        hand_models: "right" and "left".
        pin_memory: Use page-locked batches, for copies to CUDA.

    Raises:
        ValueError: No images are left, the batch does not divide among the processes, or the target
            cannot read shards.
        DataError: The shards are damaged, unfinished, or made of another index, or no training
            image has a camera and either 3D joints or a MANO fit.
    """
    index = HandIndex.open(section.index)
    classes = section.load_taxonomy(index)
    check_batch_size(section.batch_size)
    rows = section.select(index, classes)
    announce_rows(index, rows)
    further = {} if section.shards is None else {"shards": section.shards}

    def dataset(of_rows: np.ndarray, **options) -> Dataset:
        return build_dataset(
            index,
            of_rows,
            classes,
            size_px,
            hand_models=hand_models,
            seed=seed,
            **further,
            **options,
        )

    train_set, val_set = build_datasets(dataset, rows, section)
    supervision = count_supervision(index, train_set.rows)
    supervision.require_any(index)
    loaders = build_loaders(
        train_set,
        val_set,
        batch_size=section.batch_size,
        workers=section.workers,
        seed=seed,
        pin_memory=pin_memory,
    )
    facts = row_facts(index, rows, section) | {
        "train_images": len(train_set),
        "val_images": 0 if val_set is None else len(val_set),
        "fraction": section.fraction,
        "supervision": supervision._asdict(),
    }
    summary = describe_data(index, classes, index_fingerprint=index.fingerprint, **facts)
    return PoseData(index, classes, *loaders, summary)
