"""A synthetic dataset with pictures: InterHand2.6M's size, structure and bytes per image."""

from pathlib import Path

import cv2
import numpy as np

from gesture_pretrain.commands.benchmarks.interhand_annotations import (
    FULL_IMAGES,
    write_annotations,
)
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index


def write_pictures(folder: Path, images: int) -> HandIndex:
    """Annotations, an index, and the images of one hand (about 20 kB each), at least `images`.

    Only images of one hand have an image; all are of the training split.
    """
    # every second time step shows one hand; whole time steps have 70 views
    write_annotations(folder, (2 * images + 140) / FULL_IMAGES)
    (folder / "images" / "train").mkdir(parents=True)
    index = HandIndex.open(build_interhand_index(folder, folder / "index", progress=False))
    for row in index.select(single_hand_only=True):
        _write_picture(index.image_path(row), index.record(row).image_size_wh, int(row))
    return index


def _write_picture(path: Path, size_wh: tuple[int, int], seed: int) -> None:
    """A smooth pattern with a little noise: compresses to the size of the real images."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (12, 12, 3), np.uint8)
    smooth = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC).astype(np.int16)
    noise = random.integers(-4, 5, smooth.shape[:2])[..., None]
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = (smooth + noise).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])
