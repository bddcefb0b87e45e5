"""Section `data` of a config: which images, and how they are loaded.

`DataSection` holds what pretraining and pose training have in common.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.data.samples.hand_annotations import BOX_SOURCES
from gesture_pretrain.data.splits.neutral_ends import WEIGHT, NeutralEnds
from gesture_pretrain.data.splits.select import SplitRows, select_splits
from gesture_pretrain.pretraining.labels import LABEL_VARIANTS, load_taxonomy, withheld_labels
from gesture_pretrain.schema import PositiveFraction, section
from gesture_pretrain.taxonomy import Taxonomy


@section
class DataSection:
    """What both stages have in common.

    Attributes:
        index: Index folder, or a dataset that contains one.
        taxonomy: Packaged name, path of a CSV, or "index_labels" (each label of the index is a
            separate class at both levels).
        train_split: Split to train on.
        val_split: Split to validate on; None for no validation. If it has no image that passes the
            filters, images of the training split are held out instead.
        val_subjects: Subjects of the training split to hold out and validate on.
        val_captures: Captures of the training split to hold out and validate on.
        hands: "right", "left", or a list of such; None for all.
        labels: Source labels to keep; None for all.
        subjects: Subject numbers to train on; None for all. The validation split keeps its own.
        labelled_only: Leave out images without a class in the taxonomy.
        fraction: Fraction of the training images, by label and in whole time steps. A smaller
            fraction is a subset of a larger one with the same `fraction_seed`.
        fraction_seed: Random seed of the fraction, independent of the run's `seed`.
        val_images: Validate on this many images, evenly spread over the split; None for all.
        batch_size: Images per iteration over all processes.
        workers: Loading processes per training process.
        augmentation: Random motion of the training images.
        shards: Folder made by `gesture-pretrain data shards`; None to read the image files.
        overfit: Train and validate on a single batch without augmentation, to check that the loss
            can reach zero.
    """

    index: str | Path
    taxonomy: str | Path = "interhand26m"
    train_split: Literal[SPLITS] = "train"
    val_split: Literal[(*SPLITS, None)] = "val"
    val_subjects: Sequence[int] | None = None
    val_captures: Sequence[int] | None = None
    hands: str | Sequence[str] | None = None
    labels: Sequence[str] | None = None
    subjects: Sequence[int] | None = None
    labelled_only: bool = True
    fraction: PositiveFraction = 1.0
    fraction_seed: int = 0
    val_images: PositiveInt | None = None
    batch_size: PositiveInt = 64
    workers: NonNegativeInt = 2
    augmentation: Augmentation = Augmentation()
    shards: str | Path | None = None
    overfit: bool = False

    def load_taxonomy(self, index: HandIndex) -> Taxonomy:
        """Load the classes of the labels."""
        return load_taxonomy(self.taxonomy, None, 0, index)

    def select(
        self, index: HandIndex, taxonomy: Taxonomy | None = None, **filters: Any
    ) -> SplitRows:
        """Select the rows of the run.

        Args:
            index: The opened index.
            taxonomy: Result of `load_taxonomy`; loaded if None.
            **filters: Further arguments of `select_splits`.
        """
        if self.labelled_only and taxonomy is None:
            taxonomy = self.load_taxonomy(index)
        return select_splits(
            index,
            train_split=self.train_split,
            val_split=self.val_split,
            val_subjects=self.val_subjects,
            val_captures=self.val_captures,
            hands=self.hands,
            labels=self.labels,
            subjects=self.subjects,
            labelled_by=taxonomy if self.labelled_only else None,
            fraction=self.fraction,
            fraction_seed=self.fraction_seed,
            val_images=self.val_images,
            overfit=self.batch_size if self.overfit else None,
            **filters,
        )


@section
class GestureDataSection(DataSection):
    """Section `data` of a pretraining run; the other fields are those of `DataSection`.

    Attributes:
        label_variant: None, or a control: see `gesture_pretrain.taxonomy.CONTROLS` and
            `gesture_pretrain.cluster_labels.CLUSTER_CONTROLS`.
        label_seed: Random seed of the shuffled controls.
        withheld: Gestures excluded from training: a list of source labels, or the fraction of
            gestures to draw at random. Their images count as unlabelled.
        withheld_seed: Random seed of that draw.
        single_hand_only: Leave out images with two hands.
        neutral_ends: Masks the ends of each recording or draws them less often; None to treat all
            frames equally.
        box_ratio: Side length of the crop relative to that of the annotated box.
        box_source: "annotation" or "rootnet", see `GestureDataset`.
        reduced_decode: See `GestureDataset`.
        class_balanced: Draw training images so that all coarse classes are equally frequent.
        views_per_moment: Number of views of one time step that follow one another in the order, so
            that most of them share a batch. Not with images drawn by weight.
    """

    label_variant: Literal[(*LABEL_VARIANTS, None)] = None
    label_seed: int = 0
    withheld: Sequence[str] | float = ()
    withheld_seed: int = 0
    single_hand_only: bool = False
    neutral_ends: NeutralEnds | None = None
    box_ratio: float = 1.25
    box_source: Literal[BOX_SOURCES] = "annotation"
    reduced_decode: bool = True
    class_balanced: bool = False
    views_per_moment: PositiveInt = 1

    def __post_init__(self):
        if self.views_per_moment > 1 and (self.class_balanced or self._weights_ends):
            raise ValueError(
                "views_per_moment above 1 requires that each image is used once per epoch. Turn "
                'off class_balanced and neutral_ends.mode="weight".'
            )

    @property
    def _weights_ends(self) -> bool:
        return self.neutral_ends is not None and self.neutral_ends.mode == WEIGHT

    def load_taxonomy(self, index: HandIndex) -> Taxonomy:
        """Load the classes of the labels, with the variant and without withheld gestures."""
        return load_taxonomy(
            self.taxonomy,
            self.label_variant,
            self.label_seed,
            index,
            withheld=self.withheld,
            withheld_seed=self.withheld_seed,
        )

    def withheld_labels(self, index: HandIndex) -> list[str]:
        """List the source labels excluded from training."""
        original = load_taxonomy(self.taxonomy, None, 0, index)
        return list(withheld_labels(original, self.withheld, self.withheld_seed))

    def select(self, index: HandIndex, taxonomy: Taxonomy | None = None) -> SplitRows:
        """Select the rows of the run, see `DataSection.select`."""
        return super().select(
            index,
            taxonomy,
            single_hand_only=self.single_hand_only,
            neutral_ends=self.neutral_ends,
        )

    def position_weights(self, index: HandIndex, rows: np.ndarray) -> np.ndarray | None:
        """Weight images (N,) by their position in the recording; None for equal weights."""
        return self.neutral_ends.weights(index, rows) if self._weights_ends else None
