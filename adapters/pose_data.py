"""The data of a pose run: rows of single hands, training and validation loaders, from one index."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.sampling import EpochBatchSampler
from gesture_pretrain.data.transforms import NONE, Augmentation
from gesture_pretrain.hand_model import HandModel
from gesture_pretrain.skeleton import HANDS
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.training.device import rank_and_world_size
from gesture_pretrain.training.gesture_data import (
    announcer,
    check_batch_size,
    load_taxonomy,
    make_loader,
    own_batches,
    require_rows,
    spread,
)
from gesture_pretrain.training.sections import build_from_section


class PoseData(NamedTuple):
    """Loaders of a run and what they hold.

    Attributes:
        index: the data.
        taxonomy: gesture classes of the labels.
        train: endless loader of this process's share of each batch.
        validation: finite loader of this process's share; None where there is nothing to validate.
        batch_size: images per iteration over all processes.
        iterations_per_epoch: whole batches in one pass over the training rows.
        summary: counts and settings for the run's record.
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
    overfit: bool = False,
) -> PoseData:
    """Opens the index and builds both loaders.

    Which images are in which batch, and how each is augmented, depends on this section and the
    run's seed alone, not on the network: runs of one target that differ in backbone or options see
    the same samples in the same order. (Two targets may: one can leave out rows that it cannot use,
    and says so.)

    Args:
        build_dataset: of the target, see `adapters.base.PoseTarget`.
        size_px: side of the square crops.
        seed: key of order and augmentation.
        hand_models: "right" and "left".
        pin_memory: page-locked batches, for copies to CUDA.
        index: index folder, or a data root with `index` in it.
        taxonomy: packaged name, path of a CSV, or "index_labels".
        train_split: split that is trained on.
        val_split: split that is validated on; None for no validation.
        hands: "right", "left" or both.
        labels: source labels to keep; None for all.
        subjects: subject numbers to train on; None for all. Validation keeps all of its split.
        labelled_only: leave out images that the taxonomy has no class for.
        fraction: share of the training images whose pose labels are used, by label and whole time
            steps; a smaller fraction is a subset of a larger one of the same `fraction_seed`.
        fraction_seed: another seed, another part; the run's `seed` does not enter.
        val_images: validate on this many images, evenly spread over the split; None for all.
        batch_size: images per iteration over all processes.
        workers: loading processes per training process.
        augmentation: fields of `Augmentation`; None for its defaults.
        overfit: train on one unaugmented batch, and validate on the same, to see that the errors
            can reach zero.

    Raises:
        ValueError: no images are left, two-handed images are asked for, or the batch does not
            divide among the processes.
    """
    hand_index = HandIndex.open(index)
    classes = load_taxonomy(taxonomy, None, 0, hand_index)
    rank, world_size = rank_and_world_size()
    check_batch_size(batch_size, world_size)
    filters = {
        "hands": _single_hands(hands),
        "labels": labels,
        "labelled_by": classes if labelled_only else None,
    }
    rows = hand_index.select(
        split=train_split, subjects=subjects, fraction=fraction, seed=fraction_seed, **filters
    )
    require_rows(rows, hand_index, train_split, "train_split")
    chosen = build_from_section("data.augmentation", Augmentation, augmentation or {})
    if overfit:
        rows, chosen = spread(rows, batch_size), NONE

    def dataset(name: str, of_rows: np.ndarray, motion: Augmentation) -> Any:
        return build_dataset(
            hand_index,
            of_rows,
            classes,
            size_px,
            hand_models=hand_models,
            augmentation=motion,
            seed=seed,
            announce=announcer(name, rank),
        )

    train_set = dataset("Training", rows, chosen)
    batch_size = min(batch_size, len(train_set) // world_size * world_size)
    sampler = EpochBatchSampler(
        len(train_set), batch_size=batch_size, seed=seed, rank=rank, world_size=world_size
    )
    train = make_loader(train_set, workers, seed, pin_memory, batch_sampler=sampler)
    val_rows = rows if overfit else np.empty(0, np.int64)
    if val_split is not None and not overfit:
        val_rows = spread(hand_index.select(split=val_split, **filters), val_images)
        require_rows(val_rows, hand_index, val_split, "val_split")
    validation = None
    if len(val_rows):
        val_set = dataset("Validation", val_rows, NONE)
        validation = make_loader(
            val_set,
            workers,
            seed,
            pin_memory,
            batch_sampler=own_batches(len(val_set), batch_size, rank, world_size),
        )
    summary = {
        "index": str(Path(hand_index.root)),
        "index_fingerprint": hand_index.fingerprint,
        "taxonomy": classes.name,
        "taxonomy_sha256": classes.sha256,
        "train_images": len(train_set),
        "val_images": 0 if validation is None else len(val_set),
        "train_split": train_split,
        "val_split": val_split,
        "fraction": fraction,
        "source": dict(hand_index.meta),
    }
    return PoseData(
        hand_index,
        classes,
        train,
        validation,
        batch_size,
        sampler.iterations_per_epoch,
        summary,
    )


def _single_hands(hands: str | Sequence[str]) -> list[str]:
    chosen = [hands] if isinstance(hands, str) else list(hands)
    others = [name for name in chosen if name not in HANDS]
    if others or not chosen:
        raise ValueError(
            f"data.hands is {hands!r}; a pose is learned from images of one hand: 'right', 'left' "
            "or both of them"
        )
    return chosen
