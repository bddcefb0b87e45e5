"""The data of a run: taxonomy, training and validation loaders, from one index."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from gesture_pretrain.data.dataset import GestureDataset, without_opencv_threads
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.sampling import EpochBatchSampler
from gesture_pretrain.data.transforms import NONE, Augmentation
from gesture_pretrain.taxonomy import Taxonomy

from .device import rank_and_world_size
from .sections import build_from_section

INDEX_LABELS = "index_labels"
LARGEST_EVALUATED = 64  # images at once, in one process


class GestureData(NamedTuple):
    """Loaders of a run and what they hold.

    Attributes:
        taxonomy: classes of the labels, after the chosen control.
        train: endless loader of this process's share of each batch.
        validation: finite loader of this process's share; None where there is nothing to validate.
        batch_size: images per iteration over all processes.
        iterations_per_epoch: whole batches in one pass over the training rows.
        summary: counts and settings for the run's record.
    """

    taxonomy: Taxonomy
    train: DataLoader
    validation: DataLoader | None
    batch_size: int
    iterations_per_epoch: int
    summary: dict


def build_gesture_data(
    *,
    size_px: int,
    seed: int,
    pin_memory: bool = False,
    index: str | Path,
    taxonomy: str = "interhand26m",
    label_variant: str | None = None,
    label_seed: int = 0,
    train_split: str = "train",
    val_split: str | None = "val",
    hands: str | Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    subjects: Sequence[int] | None = None,
    single_hand_only: bool = False,
    labelled_only: bool = True,
    fraction: float = 1.0,
    val_images: int | None = None,
    batch_size: int = 64,
    workers: int = 2,
    augmentation: Mapping | None = None,
    box_ratio: float = 1.25,
    box_source: str = "annotation",
    reduced_decode: bool = True,
    shards: str | Path | None = None,
    class_balanced: bool = False,
    overfit: bool = False,
) -> GestureData:
    """Opens the index and builds both loaders.

    Args:
        size_px: side of the square crops.
        seed: key of order, augmentation and fractions.
        pin_memory: page-locked batches, for copies to CUDA.
        index: index folder, or a data root with `index` in it.
        taxonomy: packaged name, path of a CSV, or "index_labels" (each label of the index is a
            class of its own, at both levels).
        label_variant: None, or a control: see `gesture_pretrain.taxonomy.CONTROLS`.
        label_seed: seed of the shuffled control.
        train_split: split that is trained on.
        val_split: split that is validated on; None for no validation.
        hands: "right", "left", or a list of such; None for all.
        labels: source labels to keep; None for all.
        subjects: subject numbers to train on; None for all. Validation keeps all of its split.
        single_hand_only: leave out images with two hands.
        labelled_only: leave out images that the taxonomy has no class for; else they are masked.
        fraction: share of the training rows, drawn with `seed`.
        val_images: validate on this many images, evenly spread over the split; None for all.
        batch_size: images per iteration over all processes.
        workers: loading processes per training process.
        augmentation: fields of `Augmentation`; None for its defaults.
        box_ratio: side of the crop over that of the annotated box.
        box_source: "annotation" or "rootnet", see `GestureDataset`.
        reduced_decode: see `GestureDataset`.
        shards: folder made by tools/prepare_data.py shards; None reads the picture files.
        class_balanced: draw training images so that all coarse classes are equally frequent.
        overfit: train on one unaugmented batch, and validate on the same, to see that the loss
            can reach zero.

    Raises:
        ValueError: no images are left, or the batch does not divide among the processes.
    """
    hand_index = HandIndex.open(index)
    classes = load_taxonomy(taxonomy, label_variant, label_seed, hand_index)
    rank, world_size = rank_and_world_size()
    check_batch_size(batch_size, world_size)
    filters = {
        "hands": hands,
        "labels": labels,
        "single_hand_only": single_hand_only,
        "labelled_by": classes if labelled_only else None,
    }
    pictures = {
        "box_ratio": box_ratio,
        "box_source": box_source,
        "reduced_decode": reduced_decode,
        "shards": shards,
    }
    rows = hand_index.select(
        split=train_split, subjects=subjects, fraction=fraction, seed=seed, **filters
    )
    require_rows(rows, hand_index, train_split, "train_split")
    chosen = build_from_section("data.augmentation", Augmentation, augmentation or {})
    if overfit:
        rows, chosen = spread(rows, batch_size), NONE
    batch_size = min(batch_size, len(rows) // world_size * world_size)
    train_set = GestureDataset(
        hand_index,
        rows,
        classes,
        size_px,
        augmentation=chosen,
        seed=seed,
        **pictures,
        announce=announcer("Training", rank),
    )
    sampler = EpochBatchSampler(
        len(rows),
        batch_size=batch_size,
        seed=seed,
        rank=rank,
        world_size=world_size,
        class_ids=train_set.coarse if class_balanced else None,
    )
    train = make_loader(train_set, workers, seed, pin_memory, batch_sampler=sampler)
    val_rows = rows if overfit else np.empty(0, np.int64)
    if val_split is not None and not overfit:
        val_rows = spread(hand_index.select(split=val_split, **filters), val_images)
        require_rows(val_rows, hand_index, val_split, "val_split")
    validation = None
    if len(val_rows):
        val_set = GestureDataset(
            hand_index,
            val_rows,
            classes,
            size_px,
            **pictures,
            announce=announcer("Validation", rank),
        )
        validation = make_loader(
            val_set,
            workers,
            seed,
            pin_memory,
            batch_sampler=own_batches(len(val_set), batch_size, rank, world_size),
        )
    summary = {
        "index": str(Path(hand_index.root)),
        "taxonomy": classes.name,
        "taxonomy_sha256": classes.sha256,
        "train_images": len(rows),
        "val_images": len(val_rows),
        "train_split": train_split,
        "val_split": val_split,
        "source": dict(hand_index.meta),
    }
    return GestureData(
        classes, train, validation, batch_size, sampler.iterations_per_epoch, summary
    )


def spread(rows: np.ndarray, count: int | None) -> np.ndarray:
    """`count` of the rows, evenly spaced; all of them where `count` is None or larger."""
    if count is None or count >= len(rows):
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]


def own_batches(count: int, batch_size: int, rank: int, world_size: int) -> list[range]:
    """A process's batches of a pass over `count` samples; every sample is in one batch of one.

    Whole batches are shared out, so that each is computed exactly as by a single process: how many
    images are computed at once can change the last digit.

    Args:
        count: samples.
        batch_size: of all processes; never more than `LARGEST_EVALUATED` are taken at once.
        rank, world_size: which process of how many.
    """
    size = min(batch_size, LARGEST_EVALUATED)
    batches = [range(start, min(start + size, count)) for start in range(0, count, size)]
    return batches[rank::world_size]


def load_taxonomy(name: str, variant: str | None, seed: int, index: HandIndex) -> Taxonomy:
    """A taxonomy by the keys `taxonomy`, `label_variant` and `label_seed` of a data section."""
    if name == INDEX_LABELS:
        classes = Taxonomy.from_index_labels(index.labels)
    else:
        classes = Taxonomy.load(name)
    return classes if variant is None else classes.control(variant, seed=seed)


def check_batch_size(batch_size: int, world_size: int) -> None:
    """Raises ValueError where a batch does not divide among the processes."""
    if batch_size < 1 or batch_size % world_size:
        raise ValueError(
            f"data.batch_size is the batch over all processes: {batch_size} does not divide among "
            f"{world_size}. Choose a multiple of {world_size}."
        )


def require_rows(rows: np.ndarray, index: HandIndex, split: str, key: str) -> None:
    """Raises ValueError where the filters have left no row of a split."""
    if len(rows) == 0:
        raise ValueError(
            f"No image is left of split '{split}' (data.{key}) of {index.root} after the filters. "
            "Look at data.hands, data.labels, data.subjects, data.fraction and data.taxonomy: with "
            "labelled_only, images whose label is not in the taxonomy are left out."
        )


def announcer(name: str, rank: int):
    """Prints what a data set says of itself, once per run."""
    return (lambda text: print(f"{name}. {text}")) if rank == 0 else None


def make_loader(dataset, workers: int, seed: int, pin_memory: bool, **batching) -> DataLoader:
    """A loader whose workers do not depend on torch's global generator."""
    # An own generator: the loader would else draw its base seed from torch's global one.
    return DataLoader(
        dataset,
        num_workers=workers,
        worker_init_fn=without_opencv_threads,
        generator=torch.Generator().manual_seed(seed),
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        **batching,
    )
