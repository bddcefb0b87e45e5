"""Crops made on the device of the network: the loader gives the part of the picture, the device
turns, scales and colours a whole batch at once.

What is random is drawn by the loader as ever, so a sample depends on (seed, epoch, row) only. The
pixels are those of `crop_pixels` to one grey level in fewer than 1 of 100, two where a colour gain
above 1 doubles the difference: both interpolate in float32, and only sums near a half round
differently.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import default_collate

from gesture_pretrain.data.picture import Picture

_MARGIN_PX = 2  # bilinear interpolation looks one pixel further; rounding, one more
_SIDES_OF = 64  # batches of few different sizes: memory is found again, and graphs stay small


class UncroppedSample(NamedTuple):
    """A `HandSample` whose pixels are not cropped yet; collated, a batch of B with `image`.

    Attributes:
        picture: (3, H, W) uint8 RGB, the part of the picture that the crop shows; collated, with
            black to the right and below up to the largest of the batch.
        coarse, fine, hand, keypoints_px, joints_rel_mm, joint_valid, row: as in `HandSample`.
        picture_from_crop: (2, 3) float32 map from pixels of the crop to those of `picture`.
        gain_rgb: (3,) float32 factor on each colour channel.
        frame: (S, 0), no values; its shape tells the side of the crop without asking the device.
    """

    picture: Tensor
    coarse: int
    fine: int
    hand: int
    keypoints_px: Tensor
    joints_rel_mm: Tensor
    joint_valid: Tensor
    row: int
    picture_from_crop: Tensor
    gain_rgb: Tensor
    frame: Tensor

    @property
    def image(self) -> Tensor:
        """(B, 3, S, S) uint8 crops of a collated batch, made on the device where it lies."""
        side = self.frame.shape[-2]
        return crop_batch(self.picture, self.picture_from_crop, self.gain_rgb, side)


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


def collate_uncropped(samples: Sequence[UncroppedSample]) -> UncroppedSample:
    """A batch of samples whose pictures are of different sizes."""
    heights, widths = zip(*(sample.picture.shape[1:] for sample in samples), strict=True)
    height, width = (-(-max(sides) // _SIDES_OF) * _SIDES_OF for sides in (heights, widths))
    pictures = torch.zeros(len(samples), 3, height, width, dtype=torch.uint8)
    for place, sample in zip(pictures, samples, strict=True):
        place[:, : sample.picture.shape[1], : sample.picture.shape[2]] = sample.picture
    others = default_collate([tuple(sample[1:]) for sample in samples])
    return UncroppedSample(pictures, *others)


def crop_batch(
    pictures: Tensor, picture_from_crop: Tensor, gain_rgb: Tensor, size_px: int
) -> Tensor:
    """The crops of a batch, bilinear, black outside of the pictures, then coloured.

    Args:
        pictures: (B, 3, H, W) uint8.
        picture_from_crop: (B, 2, 3) float32 map from pixels of the crop to those of the picture.
        gain_rgb: (B, 3) float32 factors.
        size_px: side of the crops (S).

    Returns:
        (B, 3, S, S) uint8.
    """
    height, width = pictures.shape[-2:]
    along = torch.arange(size_px, device=pictures.device, dtype=torch.float32)
    y, x = torch.meshgrid(along, along, indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(1, -1, 3)
    # plain products: a matrix product may run in a shorter format, and positions must not
    at_px = (places[:, :, None] * picture_from_crop[:, None]).sum(-1)
    sides = torch.stack([torch.full_like(along[0], width), torch.full_like(along[0], height)])
    grid = ((2 * at_px + 1) / sides - 1).reshape(-1, size_px, size_px, 2)
    with torch.autocast(pictures.device.type, enabled=False):
        crops = functional.grid_sample(pictures.float(), grid, align_corners=False)
    coloured = crops.round() * gain_rgb[:, :, None, None]
    return coloured.round().clamp(0, 255).to(torch.uint8)
