"""Read the pixels of crops from image files or shards."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gesture_pretrain.data.images import (
    ImageFiles,
    ImagePart,
    ImageSource,
    Shards,
    channels_first,
)
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import Motion, crop_pixels
from gesture_pretrain.geometry.boxes import square_box


class CropImages:
    """Reads the images of crops, as finely as each crop can show.

    Args:
        source: Image files or shards.
        size_px: Side of the crops.
    """

    def __init__(self, source: ImageSource, size_px: int):
        self.source, self.size_px = source, size_px

    def read(
        self,
        row: int,
        file: str,
        size_wh: tuple[int, int],
        box_xywh_px: np.ndarray,
        motion: Motion,
    ) -> tuple[ImagePart, np.ndarray]:
        """Read the image of one crop, see `read_for`."""
        return self.read_for(row, file, size_wh, box_xywh_px, [motion], [self.size_px])

    def read_for(
        self,
        row: int,
        file: str,
        size_wh: tuple[int, int],
        box_xywh_px: np.ndarray,
        motions: Sequence[Motion],
        sizes_px: Sequence[int],
    ) -> tuple[ImagePart, np.ndarray]:
        """Read an image once for several crops, as finely as the closest of them can show.

        Args:
            row: Row of the index.
            file: Path of its image.
            size_wh: Original size according to the index.
            box_xywh_px: (4,) box to show; NaN to show the whole image, with black bars.
            motions: Motion of the box, for each crop.
            sizes_px: Side length of each crop.

        Returns:
            The image; and the (4,) box, in original pixels.

        Raises:
            DataError: The image is missing, unreadable, or of another size than annotated.
        """
        annotated = not math.isnan(box_xywh_px[2])
        # a box that is not square is stretched; its shorter side has the fewer pixels
        side = float(min(box_xywh_px[2:])) if annotated else max(size_wh)
        shrink = min(side * m.scale / size for m, size in zip(motions, sizes_px, strict=True))
        bounds = joint_bounds(box_xywh_px, motions) if annotated else None
        part = self.source.read(row, file, size_wh, shrink, bounds)
        if annotated:
            return part, box_xywh_px
        whole = size_wh if part.step_px > 1 else part.image_rgb.shape[1::-1]
        return part, square_box([0, 0, *whole])

    def describe(self, rows: np.ndarray) -> list[str]:
        """Return a line about shards, if there are any."""
        return [self.source.describe(rows)] if isinstance(self.source, Shards) else []


def joint_bounds(box_xywh_px: np.ndarray, motions: Sequence[Motion]) -> np.ndarray:
    """Return (4,) left, top, right and bottom of what several crops of a box show together."""
    bounds = np.stack([_crop_bounds(box_xywh_px, motion) for motion in motions])
    return np.concatenate([bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)])


def _crop_bounds(box_xywh_px: np.ndarray, motion: Motion) -> np.ndarray:
    turn = math.radians(motion.rotation_deg)
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    size = np.asarray(box_xywh_px[2:], np.float64)
    centre = box_xywh_px[:2] + size * (0.5 + np.asarray(motion.translation))
    reach = motion.scale * (size * cos + size[::-1] * sin) / 2
    return np.concatenate([centre - reach, centre + reach])


def open_images(
    index: HandIndex, *, shards: str | Path | None = None, reduced_decode: bool = True
) -> ImageSource:
    """Open the images of a loader.

    Args:
        index: The data.
        shards: Folder made by `write_shards`; None reads the image files.
        reduced_decode: Decode JPEG files at a reduced scale where the crop allows it.

    Raises:
        DataError: The shards are damaged, unfinished, or made of another index.
    """
    files = ImageFiles(reduced_decode=reduced_decode)
    return files if shards is None else Shards(shards, index, files)


def cropped_image(
    part: ImagePart, affine: np.ndarray, size_px: int, gain_rgb: tuple[float, float, float]
) -> Tensor:
    """Return (3, size_px, size_px) uint8 crop; for the arguments see `crop_pixels`."""
    return torch.from_numpy(channels_first(crop_pixels(part, affine, size_px, gain_rgb)))
