"""The image of a sample: its crop, or what the device of the network makes the crop from."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gesture_pretrain.data.samples.augmentation import crop_pixels
from gesture_pretrain.data.samples.device_crop import UncroppedImage
from gesture_pretrain.data.samples.picture import Picture, channels_first

_MARGIN_PX = 2  # bilinear interpolation looks one pixel further; rounding, one more

SampleImage = Tensor | UncroppedImage
ImageMaker = Callable[[Picture, np.ndarray, int, tuple[float, float, float]], SampleImage]


def image_maker(crop_on: str) -> ImageMaker:
    """What makes the images of a data set.

    Args:
        crop_on: "loader" for `cropped_image`, "device" for `uncropped_image`.

    Raises:
        ValueError: another value.
    """
    if crop_on not in _MAKERS:
        raise ValueError(f"crop_on is {crop_on!r}; possible: {', '.join(_MAKERS)}")
    return _MAKERS[crop_on]


def cropped_image(
    picture: Picture, affine: np.ndarray, size_px: int, gain_rgb: tuple[float, float, float]
) -> Tensor:
    """(3, size_px, size_px) uint8 crop; arguments as of `crop_pixels`."""
    return torch.from_numpy(channels_first(crop_pixels(picture, affine, size_px, gain_rgb)))


def uncropped_image(
    picture: Picture, affine: np.ndarray, size_px: int, gain_rgb: tuple[float, float, float]
) -> UncroppedImage:
    """What `crop_batch` makes the same crop from; arguments as of `crop_pixels`."""
    part, picture_from_crop = shown_part(picture, affine, size_px)
    return UncroppedImage(
        torch.from_numpy(channels_first(part)),
        torch.from_numpy(picture_from_crop.astype(np.float32)),
        torch.tensor(gain_rgb, dtype=torch.float32),
        size_px,
    )


_MAKERS = {"loader": cropped_image, "device": uncropped_image}


def shown_part(picture: Picture, affine: np.ndarray, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of a picture that a crop shows, and where the crop's pixels lie in it.

    Args:
        picture: holds what the crop shows.
        affine: (2, 3) map from pixels of the original picture to those of the crop.
        size_px: side of the crop (S).

    Returns:
        (H, W, 3) view of the stored pixels, one black pixel where the crop shows nothing of them;
        and the (2, 3) map from pixels of the crop to those of the part.
    """
    forward = picture.crop_affine(affine)
    inverse = np.linalg.inv(forward[:, :2])
    back = np.concatenate([inverse, -inverse @ forward[:, 2:]], axis=1)
    last = size_px - 1
    corners = np.array([[0, 0, 1], [last, 0, 1], [0, last, 1], [last, last, 1]]) @ back.T
    limits = np.array(picture.image_rgb.shape[1::-1])
    low = np.clip(np.floor(corners.min(0)).astype(int) - _MARGIN_PX, 0, limits)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + _MARGIN_PX + 1, low, limits)
    part = picture.image_rgb[low[1] : high[1], low[0] : high[0]]
    back[:, 2] -= low
    return (part if part.size else np.zeros((1, 1, 3), np.uint8)), back
