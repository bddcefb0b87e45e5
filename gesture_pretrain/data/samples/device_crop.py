"""Crops made on the device of the network: the loader gives the part of the picture, the device
turns, scales and colours a whole batch at once.

What is random is drawn by the loader as ever, so a sample depends on (seed, epoch, row) only, its
pixels too, whatever else is in the batch. They are those of `crop_pixels` to one grey level in
fewer than 1 of 100, two where a colour gain above 1 doubles the difference: both interpolate in
float32, and only sums near a half round differently. (Positions are float32 too: of noise, where
they count most, 1 in 3000 values of a picture of 140 px differs and 1 in 70 of one of 8000 px.)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import default_collate

_SIDES_OF = 64  # batches of few different sizes: memory is found again, and graphs stay small


class UncroppedImage(NamedTuple):
    """Stands for the `image` of a sample whose crop is not made yet; collated, for those of B.

    Attributes:
        picture: (3, H, W) uint8 RGB, the part of the picture that the crop shows; collated, with
            black to the right and below up to the largest of the batch.
        picture_from_crop: (2, 3) float32 map from pixels of the crop to those of `picture`.
        gain_rgb: (3,) float32 factor on each colour channel.
        size_px: side of the crop (S), one number for all of a batch.
    """

    picture: Tensor
    picture_from_crop: Tensor
    gain_rgb: Tensor
    size_px: int

    @property
    def shape(self) -> torch.Size:
        """Of what it stands for: (3, S, S), collated (B, 3, S, S)."""
        return torch.Size((*self.picture.shape[:-2], self.size_px, self.size_px))


def collate_samples(samples: Sequence[Any]) -> Any:
    """A batch of samples; as torch makes it, but for the pictures of samples not cropped yet.

    Args:
        samples: named tuples whose `image` is an `UncroppedImage`, or whatever torch collates.
    """
    first = samples[0]
    if not isinstance(getattr(first, "image", None), UncroppedImage):
        return default_collate(samples)
    columns = zip(first._fields, zip(*samples, strict=True), strict=True)
    return type(first)(
        *(collate_images(c) if name == "image" else default_collate(c) for name, c in columns)
    )


def collate_images(images: Sequence[UncroppedImage]) -> UncroppedImage:
    """Images of one `size_px` whose pictures are of different sizes."""
    heights, widths = zip(*(image.picture.shape[1:] for image in images), strict=True)
    height, width = (-(-max(sides) // _SIDES_OF) * _SIDES_OF for sides in (heights, widths))
    pictures = torch.zeros(len(images), 3, height, width, dtype=torch.uint8)
    for place, image in zip(pictures, images, strict=True):
        place[:, : image.picture.shape[1], : image.picture.shape[2]] = image.picture
    return UncroppedImage(
        pictures,
        torch.stack([image.picture_from_crop for image in images]),
        torch.stack([image.gain_rgb for image in images]),
        images[0].size_px,
    )


def with_crops(batch: Any) -> Any:
    """The batch with (B, 3, S, S) uint8 crops as `image`, made where its pictures lie.

    Args:
        batch: collated samples; one whose `image` is no `UncroppedImage` is given back as it is.
    """
    image = getattr(batch, "image", None)
    if not isinstance(image, UncroppedImage):
        return batch
    return batch._replace(image=crop_batch(*image))


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
    along = torch.arange(size_px, device=pictures.device, dtype=torch.float32)
    y, x = torch.meshgrid(along, along, indexing="ij")
    # plain products: a matrix product may run in a shorter format, and positions must not
    of_x, of_y, shift = picture_from_crop[..., None, None].unbind(2)
    at_px = of_x * x + of_y * y + shift  # (B, 2, S, S)
    coloured = _bilinear(pictures, *at_px.unbind(1)).round() * gain_rgb[:, :, None, None]
    return coloured.round().clamp(0, 255).to(torch.uint8)


def _bilinear(pictures: Tensor, x_px: Tensor, y_px: Tensor) -> Tensor:
    """(B, 3, S, S) float32 values at (B, S, S) places, black outside.

    `grid_sample` counts places in shares of the sides, so that the last digit would depend on the
    largest picture of the batch.
    """
    height, width = pictures.shape[-2:]
    flat = pictures.flatten(2)
    left, top = x_px.floor(), y_px.floor()
    right_share, lower_share = x_px - left, y_px - top
    total = torch.zeros((), device=pictures.device)
    for column, across in ((left, 1 - right_share), (left + 1, right_share)):
        for line, down in ((top, 1 - lower_share), (top + 1, lower_share)):
            inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
            line_start = line.clamp(0, height - 1).long() * width
            place = (line_start + column.clamp(0, width - 1).long()).flatten(1)[:, None]
            values = flat.gather(2, place.expand(-1, 3, -1)).unflatten(2, x_px.shape[1:])
            total = total + values * (across * down * inside)[:, None]
    return total
