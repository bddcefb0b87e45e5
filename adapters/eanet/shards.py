"""EANet's crops from shards: which boxes shards are written for, and how its loader reads them.

EANet's crops lie about the captured joints or about RootNet's box as it is, may be stretched, and
turn by up to twice `EanetAugmentation.rotation_deg`. Shards for them are written for these boxes,
and hold what a crop of the stated motion can show.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from adapters.eanet.crop import EanetAugmentation
from adapters.eanet.rows import box_of, usable_rows
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import NONE, Augmentation
from gesture_pretrain.data.samples.crop_pictures import open_pictures
from gesture_pretrain.data.samples.picture import PictureSource, WholePictures
from gesture_pretrain.data.shards.card import ShardSettings
from gesture_pretrain.data.shards.shards import ShardPlan

TARGET_NAME = "eanet"
# "joints_upstream": the box of two hands measured from the right one's corner, see
# `boxes.box_of_hands`; of one hand it is that of "joints"
SHARD_BOXES = ("joints", "joints_upstream", "rootnet")


def shard_plan(
    index: HandIndex,
    rows: Sequence[int],
    size_px: int,
    *,
    box_source: str | None = None,
    limits: Augmentation = NONE,
) -> ShardPlan:
    """What to write so that `EanetDataset` reads its crops of some rows from shards.

    Args:
        index: The data; needs triangulated joints and cameras.
        rows: (N,) rows of the index; those that EANet cannot use are left out.
        size_px: Side of the crops.
        box_source: One of `SHARD_BOXES`; None for "joints".
        limits: The largest motion of the crops.

    Raises:
        ValueError: Unknown box source.
        DataError: The index cannot serve EANet.
    """
    name = "joints" if box_source is None else box_source
    if name not in SHARD_BOXES:
        raise ValueError(
            f"box_source is {name!r}; possible for target {TARGET_NAME!r}: {', '.join(SHARD_BOXES)}"
        )
    source, box_bug = name.removesuffix("_upstream"), name == "joints_upstream"
    selection = usable_rows(index, rows, source, box_bug=box_bug)
    settings = shard_settings(size_px, source, box_bug=box_bug, augmentation=limits)
    boxes = partial(_boxes_of, index, source, box_bug)
    return ShardPlan(selection.rows, settings, boxes, selection.describe())


def shard_settings(
    size_px: int,
    box_source: str,
    *,
    box_bug: bool,
    augmentation: EanetAugmentation | Augmentation | None,
) -> ShardSettings:
    """What shards must have been made for.

    Args:
        size_px: Side of the crops.
        box_source: "joints" or "rootnet", see `rows.box_of`.
        box_bug: See `boxes.box_of_hands`; only where there are images of two hands.
        augmentation: Of the loader.
    """
    name = "joints_upstream" if box_bug and box_source == "joints" else box_source
    return ShardSettings(
        size_px,
        box_ratio=None,
        box_source=name,
        augmentation=largest_motion(augmentation),
        target=TARGET_NAME,
    )


def open_crop_pictures(
    index: HandIndex,
    rows: np.ndarray,
    settings: ShardSettings,
    *,
    shards: str | Path | None = None,
    reduced_decode: bool = True,
) -> PictureSource:
    """The pictures of EANet's loader; crops of stored ones have the bits of those from files.

    Raises:
        As `crop_pictures.open_pictures`.
    """
    source = open_pictures(index, rows, settings, shards=shards, reduced_decode=reduced_decode)
    return source if shards is None else WholePictures(source)


def largest_motion(augmentation: EanetAugmentation | Augmentation | None) -> Augmentation:
    """Limits of what an augmentation draws."""
    if augmentation is None:
        return NONE
    if isinstance(augmentation, Augmentation):
        return augmentation
    turn_deg = 2 * augmentation.rotation_deg if augmentation.rotation > 0 else 0.0
    return Augmentation(
        scale=augmentation.scale,
        rotation_deg=turn_deg,
        translation=0.0,
        colour=augmentation.colour,
        flip=augmentation.flip,
    )


def _boxes_of(index: HandIndex, source: str, box_bug: bool, rows: np.ndarray) -> np.ndarray:
    """(N, 4) boxes of rows, xywh px, as the loader crops them."""
    records = [index.record(int(row)) for row in rows]
    return np.stack([box_of(index, record, source, box_bug=box_bug) for record in records])
