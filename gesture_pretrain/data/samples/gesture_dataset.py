"""Dataset of crops with gesture classes and joints, from rows of an index.

A sample depends on (seed, epoch, row) only. It does not depend on the worker that makes it, on the
order of the samples, or on the other rows of the dataset.
"""

import copy
import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS
from gesture_pretrain.data.samples.augmentation import (
    MIRRORED_HAND,
    NONE,
    Augmentation,
    Motion,
    crop_maps,
    draw_motions,
)
from gesture_pretrain.data.samples.crop_images import CropImages, cropped_image, open_images
from gesture_pretrain.data.samples.hand_annotations import AnnotationReader, HandAnnotations
from gesture_pretrain.data.samples.hand_crops import CropPlan, HandCrops, collect, cut
from gesture_pretrain.data.samples.photometric import with_looks
from gesture_pretrain.data.samples.sampling import SampleKey, epochs_and_positions
from gesture_pretrain.taxonomy import Taxonomy


class HandSample(NamedTuple):
    """One crop (or, collated, a batch of B of them with a leading axis B).

    Attributes:
        image: (3, S, S) uint8, RGB.
        coarse, fine: Gesture classes, -1 where the image has none.
        hand: 0 right, 1 left, -1 unknown or two hands; of the crop, that is after a flip.
        keypoints_px: (21, 2) float32, joints in crop pixels, mano21 order; 0 where not valid.
        joints_rel_mm: (21, 3) float32, joints minus wrist in the camera frame of the crop; 0 where
            not valid.
        joint_valid: (21,) bool, the joint and the wrist were triangulated. A valid joint may lie
            outside the crop.
        row: Row of the index.
    """

    image: torch.Tensor
    coarse: int
    fine: int
    hand: int
    keypoints_px: torch.Tensor
    joints_rel_mm: torch.Tensor
    joint_valid: torch.Tensor
    row: int


class GestureDataset(Dataset):
    """Crops of an index's rows with the classes that a taxonomy gives them.

    `dataset[position]` is the sample of epoch 0. `dataset[epoch, position]` has another
    augmentation in every epoch; `EpochBatchSampler` yields such keys.

    The crop is a square of side ``box_ratio * max(w, h)`` around the annotated box. An image
    without a box is shown whole, with black bars. Pixels outside the image are black.

    Args:
        index: The data.
        rows: (N,) rows of the index to use.
        taxonomy: Classes of the labels; may be a control variant.
        size_px: Side of the crops (S).
        augmentation: Random motion; None for none.
        seed: Key of the augmentation.
        box_ratio: Side of the crop over the longer side of the annotated box.
        box_source: "annotation", or "rootnet" for the boxes detected by RootNet, which are not
            enlarged.
        reduced_decode: Decode JPEG files at a reduced scale where a crop shows at least twice as
            many pixels as it has.
        shards: Folder made by `write_shards`; None reads the image files. See `data.images.shards`
            for the effect on samples.
        crops: Crops of each image, for samples of type `HandCrops`; None for `HandSample`.
        announce: Called with the lines of `describe`; None for silence.

    Attributes:
        annotations: Boxes and joints of the rows.
        images: Their pixels.
        coarse, fine: (N,) int64 classes, -1 where masked.
        label_report: Number of images with a class, and reasons for the others.

    Raises:
        ValueError: A row is not in the index or has no box of `box_source`.
        DataError: The shards are damaged, unfinished, or made of another index.
    """

    def __init__(
        self,
        index: HandIndex,
        rows: Sequence[int],
        taxonomy: Taxonomy,
        size_px: int,
        *,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        box_ratio: float = 1.25,
        box_source: str = "annotation",
        reduced_decode: bool = True,
        shards: str | Path | None = None,
        crops: CropPlan | None = None,
        announce: Callable[[str], object] | None = print,
    ):
        self.index = index
        self.rows = _rows_within(rows, len(index))
        self.taxonomy = taxonomy
        self.size_px = size_px
        self.augmentation = augmentation
        self.seed = seed
        self.crops = crops
        self.box_ratio = box_ratio
        self.annotations = AnnotationReader(index, box_ratio=box_ratio, box_source=box_source)
        self._require_boxes(box_source)
        source = open_images(index, shards=shards, reduced_decode=reduced_decode)
        self.images = CropImages(source, size_px)
        self.coarse, self.fine, self.label_report = taxonomy.assign_codes(
            index.values("sequence", self.rows),
            index.labels,
            index.values("hand", self.rows),
            HANDS,
            rows=self.rows,
            subjects=index.values("subject", self.rows) if "subject" in index.columns else None,
        )
        if announce is not None:
            announce(self.describe())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: SampleKey) -> HandSample | HandCrops:
        """Return the sample at a position, or at (epoch, position).

        Raises:
            DataError: The image is missing, unreadable, or of another size than annotated.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[HandSample] | list[HandCrops]:
        """Return the samples of a batch, in the order of `keys`; called by the DataLoader."""
        epochs, positions = epochs_and_positions(keys)
        rows = self.rows[positions]
        if self.crops is not None:
            return self._several_crops(epochs, positions, rows)
        motions = self._motions(epochs, rows)
        samples = self._samples(positions, rows, self.annotations.read(rows), motions)
        return with_looks(samples, [motion.look for motion in motions])

    def _samples(
        self, positions: np.ndarray, rows: np.ndarray, notes: HandAnnotations, motions: list[Motion]
    ) -> list[HandSample]:
        flips, hands, coarse, fine = self._shown(positions, notes.hands, motions)
        affines, rotations = crop_maps(notes.boxes_xywh_px, motions, flips, self.size_px)
        images = [
            self._image(int(row), notes, k, motions[k], flips[k], affines[k])
            for k, row in enumerate(rows)
        ]
        valid = notes.joint_valid
        keypoints_px = notes.keypoints_px @ affines[:, :, :2].swapaxes(1, 2)
        keypoints_px += affines[:, None, :, 2]
        joints_rel_mm = notes.joints_rel_mm @ rotations.swapaxes(1, 2)
        return [
            HandSample(*sample)
            for sample in zip(
                images,
                coarse,
                fine,
                hands,
                _masked(keypoints_px, valid),
                _masked(joints_rel_mm, valid),
                torch.from_numpy(valid).unbind(),
                rows.tolist(),
                strict=True,
            )
        ]

    def _several_crops(
        self, epochs: Sequence[int], positions: np.ndarray, rows: np.ndarray
    ) -> list[HandCrops]:
        """Return the samples with all crops of `crops`; each image is decoded once."""
        notes, steps = self.annotations.read(rows), self.index.values("step", rows)
        drawn = self.crops.draw(self.augmentation or NONE, self.seed, epochs, rows.tolist())
        sizes_px = self.crops.sizes_px(self.size_px)
        samples = []
        for k, (row, motions) in enumerate(zip(rows.tolist(), drawn, strict=True)):
            size_wh, box = tuple(notes.sizes_wh[k].tolist()), notes.boxes_xywh_px[k]
            part, box = self.images.read_for(row, notes.files[k], size_wh, box, motions, sizes_px)
            cuts = [
                cut(part, box, motion, size_px, self.classes(positions[k], motion))
                for motion, size_px in zip(motions, sizes_px, strict=True)
            ]
            samples.append(collect(cuts, self.crops, row=row, step=int(steps[k])))
        return samples

    def classes(
        self, position: int, motion: Motion, *, force_flip: bool = False
    ) -> tuple[bool, int, int]:
        """Return whether a crop is mirrored, and the coarse and fine class it shows.

        Args:
            position: Position in the dataset.
            motion: Motion of the box.
            force_flip: Flip although the taxonomy defines no mirror image; the classes are then -1.
        """
        classes = int(self.coarse[position]), int(self.fine[position])
        mirrored = self.taxonomy.flip(*classes) if motion.flip else None
        if mirrored is None and motion.flip and force_flip:
            mirrored = (-1, -1)
        return (False, *classes) if mirrored is None else (True, *mirrored)

    def _shown(self, positions: np.ndarray, hands: np.ndarray, motions: list[Motion]) -> tuple:
        """Return for each crop whether it is mirrored, and the hand and classes it shows."""
        shown = []
        for position, motion, hand in zip(positions, motions, hands.tolist(), strict=True):
            flip, *classes = self.classes(position, motion)
            shown.append((flip, MIRRORED_HAND[hand] if flip else hand, *classes))
        return tuple(zip(*shown, strict=True))

    def _image(
        self,
        row: int,
        notes: HandAnnotations,
        k: int,
        motion: Motion,
        flip: bool,
        affine: np.ndarray,
    ) -> torch.Tensor:
        """Return the crop of the `k`-th image of a batch."""
        size_wh, box = tuple(notes.sizes_wh[k].tolist()), notes.boxes_xywh_px[k]
        part, shown = self.images.read(row, notes.files[k], size_wh, box, motion)
        if shown is not box:
            affine = crop_maps(shown[None], [motion], [flip], self.size_px)[0][0]
        return cropped_image(part, affine, self.size_px, motion.gain_rgb)

    def without_augmentation(self) -> "GestureDataset":
        """Return a dataset of the same rows with one crop of each image, without augmentation."""
        still = copy.copy(self)
        still.augmentation, still.crops = None, None
        return still

    def describe(self) -> str:
        """Describe labels, masked images with reasons, and whether crops can be mirrored."""
        labels = f"Labels by taxonomy {self.taxonomy.name}: {self.label_report}"
        text = "\n".join([labels, *self.images.describe(self.rows)])
        if self.augmentation is None or not self.augmentation.flip or self.taxonomy.has_flip:
            return text
        undefined = sum(mirror is None for mirror in self.taxonomy.fine_flip)
        return (
            f"{text}\nNo flip for {undefined} of {self.taxonomy.num_fine} fine classes: the "
            "taxonomy does not say which class their mirror image has (column `flip`)."
        )

    def _require_boxes(self, box_source: str) -> None:
        if box_source == "annotation":
            return  # a photograph without a box is shown whole
        lacking = np.flatnonzero(np.isnan(self.annotations.boxes(self.rows)[:, 0]))
        if len(lacking):
            raise ValueError(
                f"{len(lacking)} of {len(self.rows)} rows have no box from {box_source}, first "
                f"row {self.rows[lacking[0]]}. Leave them out, or use box_source='annotation'."
            )

    def _motions(self, epochs: Sequence[int], rows: np.ndarray) -> list[Motion]:
        if self.augmentation is None:
            return [Motion()] * len(rows)
        return draw_motions(self.augmentation, self.seed, epochs, rows.tolist())


def prepare_worker(worker_id: int) -> None:
    """Prepare a DataLoader worker: no threads of OpenCV, and none of the parent's garbage.

    A worker has a core to itself. 0 disables OpenCV's threads; 1 would resize a pool whose threads
    did not survive the fork, and wait for them forever. Garbage of the parent stays frozen, because
    an old loader's iterator among it prints an error when it is collected in another process.
    """
    cv2.setNumThreads(0)
    gc.freeze()


def _masked(values: np.ndarray, valid: np.ndarray) -> tuple[torch.Tensor, ...]:
    """Return one float32 tensor per image, 0 where not valid."""
    kept = np.where(valid[..., None], values, 0).astype(np.float32)
    return torch.from_numpy(kept).unbind()


def _rows_within(rows: Sequence[int], size: int) -> np.ndarray:
    rows = np.asarray(rows, np.int64)
    outside = rows[(rows < 0) | (rows >= size)]
    if len(outside):
        raise ValueError(f"Row {outside[0]} is not in the index, which has rows 0 .. {size - 1}.")
    return rows
