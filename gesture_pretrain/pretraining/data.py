"""Data of a run: taxonomy, training and validation loaders, from one index."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from gesture_pretrain.cluster_labels import CLUSTER_CONTROLS, labelled_clusters
from gesture_pretrain.config.sections import build_from_section
from gesture_pretrain.data.index.fraction import count_rows
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import NONE, Augmentation
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.hand_crops import CropPlan
from gesture_pretrain.data.samples.loaders import announcer, build_loaders, check_batch_size
from gesture_pretrain.data.samples.sampling import class_balanced_weights
from gesture_pretrain.data.splits.neutral_ends import WEIGHT, NeutralEnds
from gesture_pretrain.data.splits.select import SplitRows, describe_validation, select_splits
from gesture_pretrain.taxonomy import CONTROLS, Taxonomy

INDEX_LABELS = "index_labels"
LABEL_VARIANTS = (*CONTROLS, *CLUSTER_CONTROLS)


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
    *,
    size_px: int,
    seed: int,
    pin_memory: bool = False,
    crops: CropPlan | None = None,
    index: str | Path,
    taxonomy: str = "interhand26m",
    label_variant: str | None = None,
    label_seed: int = 0,
    withheld: Sequence[str] | float = (),
    withheld_seed: int = 0,
    train_split: str = "train",
    val_split: str | None = "val",
    val_subjects: Sequence[int] | None = None,
    val_captures: Sequence[int] | None = None,
    hands: str | Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    subjects: Sequence[int] | None = None,
    single_hand_only: bool = False,
    labelled_only: bool = True,
    neutral_ends: Mapping | None = None,
    fraction: float = 1.0,
    fraction_seed: int = 0,
    val_images: int | None = None,
    batch_size: int = 64,
    workers: int = 2,
    augmentation: Mapping | None = None,
    box_ratio: float = 1.25,
    box_source: str = "annotation",
    reduced_decode: bool = True,
    shards: str | Path | None = None,
    class_balanced: bool = False,
    views_per_moment: int = 1,
    overfit: bool = False,
) -> GestureData:
    """Open the index and build both loaders.

    Args:
        size_px: Side length of the square crops.
        seed: Random seed of order and augmentation.
        pin_memory: Use page-locked batches, for copies to CUDA.
        crops: Crops of each training image; None for one, see `GestureDataset`.
        index: Index folder, or a dataset that contains one.
        taxonomy: Packaged name, path of a CSV, or "index_labels" (each label of the index is a
            separate class at both levels).
        label_variant: None, or a control: see `gesture_pretrain.taxonomy.CONTROLS` and
            `gesture_pretrain.cluster_labels.CLUSTER_CONTROLS`.
        label_seed: Random seed of the shuffled controls.
        withheld: Gestures excluded from training: a list of source labels, or the fraction of
            gestures to draw at random. Their images count as unlabelled.
        withheld_seed: Random seed of that draw.
        train_split: Split to train on.
        val_split: Split to validate on; None for no validation. If it has no labelled image,
            images of the training split are held out instead.
        val_subjects: Subjects of the training split to hold out and validate on.
        val_captures: Captures of the training split to hold out and validate on.
        hands: "right", "left", or a list of such; None for all.
        labels: Source labels to keep; None for all.
        subjects: Subject numbers to train on; None for all. The validation split keeps its own.
        single_hand_only: Leave out images with two hands.
        labelled_only: Leave out images without a class in the taxonomy, instead of masking them.
        neutral_ends: Fields of `NeutralEnds`, which masks the ends of each recording or draws them
            less often; None to treat all frames equally.
        fraction: Fraction of the training images, by label and in whole time steps. A smaller
            fraction is a subset of a larger one with the same `fraction_seed`.
        fraction_seed: Random seed of the fraction, independent of the run's `seed`.
        val_images: Validate on this many images, evenly spread over the split; None for all.
        batch_size: Images per iteration over all processes.
        workers: Loading processes per training process.
        augmentation: Fields of `Augmentation`; None for its defaults.
        box_ratio: Side length of the crop relative to that of the annotated box.
        box_source: "annotation" or "rootnet", see `GestureDataset`.
        reduced_decode: See `GestureDataset`.
        shards: Folder made by `gesture-pretrain data shards`; None to read the image files.
        class_balanced: Draw training images so that all coarse classes are equally frequent.
        views_per_moment: Number of views of one time step that follow one another in the order, so
            that most of them share a batch. Not with images drawn by weight.
        overfit: Train and validate on a single batch without augmentation, to check that the loss
            can reach zero.

    Raises:
        ValueError: No image is left, or the batch size is not divisible by the number of processes.
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
    ends = neutral_ends_of(neutral_ends)
    rows = select_splits(
        hand_index,
        train_split=train_split,
        val_split=val_split,
        val_subjects=val_subjects,
        val_captures=val_captures,
        hands=hands,
        labels=labels,
        subjects=subjects,
        single_hand_only=single_hand_only,
        labelled_by=classes if labelled_only else None,
        neutral_ends=ends,
        fraction=fraction,
        fraction_seed=fraction_seed,
        val_images=val_images,
        overfit=batch_size if overfit else None,
    )
    announce_rows(hand_index, rows)

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
            **options,
        )

    train_set, val_set = build_datasets(dataset, rows, augmentation, overfit=overfit)
    train_set.crops = crops  # a validation image has one crop
    loaders = build_loaders(
        train_set,
        val_set,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
        pin_memory=pin_memory,
        weights=_draw_weights(train_set, ends, class_balanced),
        groups=hand_index.values("step", rows.train) if views_per_moment > 1 else None,
        together=views_per_moment,
    )
    facts = row_facts(hand_index, rows, train_split=train_split, val_split=val_split)
    if withheld:
        original = load_taxonomy(taxonomy, None, 0, hand_index)
        facts["withheld"] = list(withheld_labels(original, withheld, withheld_seed))
    return GestureData(classes, *loaders, describe_data(hand_index, classes, **facts))


def neutral_ends_of(section: Mapping | None) -> NeutralEnds | None:
    """Build `NeutralEnds` from the `neutral_ends` of a data section."""
    if section is None:
        return None
    return build_from_section("data.neutral_ends", NeutralEnds, section)


def _draw_weights(
    dataset: GestureDataset, ends: NeutralEnds | None, class_balanced: bool
) -> np.ndarray | None:
    """Compute sampling weights (N,) of the training images; None to use each once per epoch."""
    weights = class_balanced_weights(dataset.coarse) if class_balanced else None
    if ends is None or ends.mode != WEIGHT:
        return weights
    by_position = ends.weights(dataset.index, dataset.rows)
    return by_position if weights is None else weights * by_position


def announce_rows(index: HandIndex, rows: SplitRows) -> None:
    """Print once per run which images are used for training and validation."""
    if (say := announcer("Training")) is not None:
        say(f"{count_rows(index, rows.train)}.")
    if (say := announcer("Validation")) is not None:
        say(describe_validation(rows.validated_on))


def row_facts(
    index: HandIndex, rows: SplitRows, *, train_split: str, val_split: str | None
) -> dict[str, Any]:
    """Count the rows of a run for its record."""
    train = count_rows(index, rows.train)
    return {
        "train_images": train.images,
        "train_moments": train.moments,
        "train_labels": train.labels,
        "val_images": len(rows.validation),
        "train_split": train_split,
        "val_split": val_split,
        "validated_on": rows.validated_on,
    }


def build_datasets(
    build: Callable[..., Dataset], rows: SplitRows, augmentation: Mapping | None, *, overfit: bool
) -> tuple[Any, Any]:
    """Build the training and the validation set; the latter is None without validation.

    Args:
        build: Function `build(rows, *, augmentation, announce)` that builds a dataset.
        rows: Rows of both sets.
        augmentation: Fields of `Augmentation`; None for its defaults.
        overfit: Train without augmentation.
    """
    chosen = build_from_section("data.augmentation", Augmentation, augmentation or {})
    motion = NONE if overfit else chosen
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


def load_taxonomy(
    name: str,
    variant: str | None,
    seed: int,
    index: HandIndex,
    *,
    withheld: Sequence[str] | float = (),
    withheld_seed: int = 0,
) -> Taxonomy:
    """Load a taxonomy according to a data section, see `build_gesture_data`."""
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
    """List the labels excluded from training: those given, or of a fraction of the gestures."""
    if isinstance(withheld, float):
        return taxonomy.drawn_gestures(withheld, seed)
    return tuple(withheld)
