"""From pictures and boxes to crops, left hands mirrored or not, as the data sets make them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gesture_pretrain.data.images import reduced_image
from gesture_pretrain.data.samples.augmentation import warp
from gesture_pretrain.geometry.boxes import square_box
from gesture_pretrain.geometry.crop import crop_affine, invert_affine

_LARGEST_PX = 100_000


class HandCrops(NamedTuple):
    """B crops; a pose network takes them as a batch for prediction.

    Attributes:
        image: `(B, 3, S, S)` uint8, RGB.
        hand: `(B,)` int64, 0 right: all look like right hands, or are as they are in the picture.
        row: `(B,)` int64, number of the picture.
        image_from_crop: `(B, 2, 3)` float32, crop pixels to those of the picture.
    """

    image: Tensor
    hand: Tensor
    row: Tensor
    image_from_crop: Tensor


def crop_hands(
    images: Sequence[np.ndarray],
    boxes_xywh_px: Sequence[np.ndarray],
    mirrored: Sequence[bool],
    size_px: int,
) -> HandCrops:
    """Square crops of pictures `(H, W, 3)`, uint8 RGB; large ones are averaged first, not skipped.

    Args:
        images: B pictures.
        boxes_xywh_px: Square box of each.
        mirrored: Whether each is mirrored.
        size_px: S.
    """
    affines = [
        crop_affine(box, size_px, flip=bool(flip))
        for box, flip in zip(boxes_xywh_px, mirrored, strict=True)
    ]
    crops = np.stack(
        [
            _crop(image, box, affine, size_px)
            for image, box, affine in zip(images, boxes_xywh_px, affines, strict=True)
        ]
    )
    back = np.stack([invert_affine(affine) for affine in affines]).astype(np.float32)
    return HandCrops(
        image=torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous(),
        hand=torch.zeros(len(crops), dtype=torch.int64),
        row=torch.arange(len(crops)),
        image_from_crop=torch.from_numpy(back),
    )


def _crop(
    image_rgb: np.ndarray, box_xywh_px: np.ndarray, affine: np.ndarray, size_px: int
) -> np.ndarray:
    picture = reduced_image(image_rgb, shrink=box_xywh_px[2] / size_px)
    return warp(picture.image_rgb, picture.crop_affine(affine), size_px)


def square_hand_box(
    image: np.ndarray, box_xywh_px: Sequence[float] | None, *, box_ratio: float, number: int | str
) -> np.ndarray:
    """The square that is cropped: `box_ratio` times the box, or the whole picture without one.

    Args:
        image: `(H, W, 3)`.
        box_xywh_px: Box of the hand, or None.
        box_ratio: Side of the square over the longer side of the box.
        number: Number or name of the picture, for messages.

    Raises:
        ValueError: The box has no area, or lies outside of the picture.
    """
    height, width = image.shape[:2]
    if box_xywh_px is None:
        return square_box([0, 0, width, height])
    box = np.asarray(box_xywh_px, np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 1).any():
        raise ValueError(
            f"box of picture {number} is {box_xywh_px}; needed are x, y, width, height in pixels "
            "with a width and height of at least 1"
        )
    if np.abs(box).max() > _LARGEST_PX:
        raise ValueError(f"box of picture {number} ({box.tolist()}) is larger than any image")
    if (box[:2] >= (width, height)).any() or (box[:2] + box[2:] <= 0).any():
        raise ValueError(
            f"box of picture {number} ({box.tolist()}) lies outside of its {width} x {height} px"
        )
    return square_box(box, box_ratio)


def check_image(image: np.ndarray, number: int) -> None:
    """Refuse what is not an RGB picture of bytes.

    Raises:
        TypeError: It is no numpy array of uint8.
        ValueError: It is not `(H, W, 3)`, or empty.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = getattr(image, "dtype", type(image).__name__)
        raise TypeError(
            f"picture {number} is {found}; needed is a numpy array of uint8. "
            "gesture_pretrain.data.images.read_image_rgb reads files of any depth so."
        )
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"picture {number} has shape {image.shape}; needed is (H, W, 3), RGB. "
            "gesture_pretrain.data.images.read_image_rgb reads grey and RGBA files so."
        )
