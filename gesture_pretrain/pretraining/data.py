"""The data of a run: taxonomy, training and validation loaders, from one index."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from gesture_pretrain.cluster_labels import CLUSTER_CONTROLS, labelled_clusters
from gesture_pretrain.config.sections import build_from_section
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import NONE, Augmentation
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.taxonomy import CONTROLS, Taxonomy
from gesture_pretrain.training.loaders import announcer, build_loaders, check_batch_size
from gesture_pretrain.training.splits import SplitRows, select_splits

INDEX_LABELS = "index_labels"
LABEL_VARIANTS = (*CONTROLS, *CLUSTER_CONTROLS)


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
    withheld: Sequence[str] | float = (),
    withheld_seed: int = 0,
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
    crop_on: str = "loader",
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
        label_variant: None, or a control: see `gesture_pretrain.taxonomy.CONTROLS` and
            `gesture_pretrain.cluster_labels.CLUSTER_CONTROLS`.
        label_seed: seed of the shuffled controls.
        withheld: gestures that are not trained on: a list of source labels, or the fraction of the
            gestures that is drawn at random. Their images count as unlabelled.
        withheld_seed: seed of that draw.
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
        crop_on: "loader" or "device", see `GestureDataset`.
        class_balanced: draw training images so that all coarse classes are equally frequent.
        overfit: train on one unaugmented batch, and validate on the same, to see that the loss
            can reach zero.

    Raises:
        ValueError: no images are left, or the batch does not divide among the processes.
    """
    hand_index = HandIndex.open(index)
    classes = load_taxonomy(
        taxonomy,
        label_variant,
        label_seed,
        hand_index,
        withheld=withheld,
        withheld_seed=withheld_seed,
    )
    check_batch_size(batch_size)
    rows = select_splits(
        hand_index,
        train_split=train_split,
        val_split=val_split,
        filters={
            "hands": hands,
            "labels": labels,
            "single_hand_only": single_hand_only,
            "labelled_by": classes if labelled_only else None,
        },
        subjects=subjects,
        fraction=fraction,
        seed=seed,
        val_images=val_images,
        overfit=batch_size if overfit else None,
    )

    def dataset(of_rows: np.ndarray, **options) -> GestureDataset:
        return GestureDataset(
            hand_index,
            of_rows,
            classes,
            size_px,
            seed=seed,
            box_ratio=box_ratio,
            box_source=box_source,
            reduced_decode=reduced_decode,
            shards=shards,
            crop_on=crop_on,
            **options,
        )

    train_set, val_set = build_datasets(dataset, rows, augmentation, overfit=overfit)
    loaders = build_loaders(
        train_set,
        val_set,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
        pin_memory=pin_memory,
        class_ids=train_set.coarse if class_balanced else None,
    )
    counts = {"train_images": len(rows.train), "val_images": len(rows.validation)}
    if withheld:
        original = load_taxonomy(taxonomy, None, 0, hand_index)
        counts["withheld"] = list(withheld_labels(original, withheld, withheld_seed))
    splits = {"train_split": train_split, "val_split": val_split}
    return GestureData(classes, *loaders, describe_data(hand_index, classes, **counts, **splits))


def build_datasets(
    build: Callable[..., Dataset], rows: SplitRows, augmentation: Mapping | None, *, overfit: bool
) -> tuple[Any, Any]:
    """The training and the validation set; None where there is nothing to validate.

    Args:
        build: `build(rows, *, augmentation, announce)` makes one of them.
        rows: of both.
        augmentation: fields of `Augmentation`; None for its defaults.
        overfit: also train without augmentation.
    """
    chosen = build_from_section("data.augmentation", Augmentation, augmentation or {})
    motion = NONE if overfit else chosen
    train = build(rows.train, augmentation=motion, announce=announcer("Training"))
    if len(rows.validation) == 0:
        return train, None
    return train, build(rows.validation, augmentation=NONE, announce=announcer("Validation"))


def describe_data(index: HandIndex, taxonomy: Taxonomy, **facts) -> dict:
    """What a run's record says of its data: index and taxonomy, beside the `facts`."""
    return {
        "index": str(Path(index.root)),
        "taxonomy": taxonomy.name,
        "taxonomy_sha256": taxonomy.sha256,
        **facts,
        "source": dict(index.meta),
    }


def load_taxonomy(
    name: str,
    variant: str | None,
    seed: int,
    index: HandIndex,
    *,
    withheld: Sequence[str] | float = (),
    withheld_seed: int = 0,
) -> Taxonomy:
    """A taxonomy by the keys of a data section; see `build_gesture_data`."""
    if name == INDEX_LABELS:
        classes = Taxonomy.from_index_labels(index.labels)
    else:
        classes = Taxonomy.load(name)
    classes = classes.without(withheld_labels(classes, withheld, withheld_seed))
    if variant in CLUSTER_CONTROLS:
        return CLUSTER_CONTROLS[variant](classes, labelled_clusters(index, classes), seed)
    return classes if variant is None else classes.control(variant, seed=seed)


def withheld_labels(
    taxonomy: Taxonomy, withheld: Sequence[str] | float, seed: int
) -> tuple[str, ...]:
    """Labels that are not trained on: those listed, or of a fraction of the gestures."""
    if isinstance(withheld, float):
        return taxonomy.drawn_gestures(withheld, seed)
    return tuple(withheld)
