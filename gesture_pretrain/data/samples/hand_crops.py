"""Several crops of each image: full crops and smaller, closer ones (multi-crop).

Multi-crop is from SwAV (Caron et al., NeurIPS 2020, arXiv 2006.09882). The first crop is that of
`GestureDataset` without this option. Crop k of an image depends on (seed, epoch, row, k) only.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from gesture_pretrain.data.samples.augmentation import Augmentation, Motion, crop_maps, draw_motions
from gesture_pretrain.data.samples.crop_images import cropped_image
from gesture_pretrain.data.samples.photometric import with_look
from gesture_pretrain.geometry.crop import invert_affine
from gesture_pretrain.schema import Fraction, PositiveFraction, section


class HandCrops(NamedTuple):
    """Crops of one image (or, collated, of B images with a leading axis B).

    F is the number of further full crops, N that of local crops. A mirrored crop has the classes of
    the mirror image, so the crops of an image may differ in their classes.

    Attributes:
        image: (3, S, S) uint8 RGB, the first full crop.
        coarse, fine: Gesture classes of `image`, -1 where the image has none.
        row: Row of the index.
        moment: Number of the pose shown: twice the number of the time step, plus 1 if `image` is
            mirrored. Crops of equal number are views of one pose.
        full_images: (F, 3, S, S) uint8, the further full crops.
        full_maps: (F, 2, 3) float32, maps from the pixels of `image` to those of each further full
            crop.
        local_images: (N, 3, s, s) uint8, the local crops.
        other_coarse, other_fine, other_moment: (F + N,) int64, as above, of the further full and
            the local crops.
    """

    image: Tensor
    coarse: int
    fine: int
    row: int
    moment: int
    full_images: Tensor
    full_maps: Tensor
    local_images: Tensor
    other_coarse: Tensor
    other_fine: Tensor
    other_moment: Tensor


@section
class CropPlan:
    """Number and size of the crops of each image.

    Attributes:
        full: Number of full crops, including the first.
        local: Number of local crops.
        local_size_px: Side length of the local crops; a multiple of the largest stride.
        local_scale: Side of a local crop's box relative to that of a full crop.
        local_translation: The box of a local crop moves by up to this fraction of the full side.
    """

    full: PositiveInt = 2
    local: NonNegativeInt = 4
    local_size_px: PositiveInt = 96
    local_scale: PositiveFraction = 0.5
    local_translation: Fraction = 0.2

    def sizes_px(self, size_px: int) -> list[int]:
        """List the side length of every crop, given that of the full ones."""
        return [size_px] * self.full + [self.local_size_px] * self.local

    def draw(
        self, augmentation: Augmentation, seed: int, epochs: Sequence[int], rows: Sequence[int]
    ) -> list[list[Motion]]:
        """Draw the motions of every crop, by image and then by crop."""
        closer = replace(augmentation, translation=self.local_translation)
        by_crop = []
        for number in range(self.full + self.local):
            is_local = number >= self.full
            ranges = closer if is_local else augmentation
            motions = draw_motions(ranges, seed, epochs, rows, crop=number)
            if is_local:
                motions = [replace(m, scale=self.local_scale * m.scale) for m in motions]
            by_crop.append(motions)
        return [list(of_image) for of_image in zip(*by_crop, strict=True)]


class Cut(NamedTuple):
    """A finished crop.

    Attributes:
        image: (3, s, s) uint8.
        affine: (2, 3) map from image pixels to crop pixels.
        flip: It is mirrored.
        coarse, fine: Classes of what it shows.
    """

    image: Tensor
    affine: np.ndarray
    flip: bool
    coarse: int
    fine: int


def cut(part, box_xywh_px, motion: Motion, size_px: int, shown: tuple[bool, int, int]) -> Cut:
    """Cut one crop from the decoded image.

    Args:
        part: `ImagePart` that contains what the crop shows.
        box_xywh_px: (4,) square box.
        motion: Motion of the box.
        size_px: Side length of the crop.
        shown: Whether the crop is mirrored, and its coarse and fine class.
    """
    flip, coarse, fine = shown
    affine = crop_maps(box_xywh_px[None], [motion], [flip], size_px)[0][0]
    image = with_look(cropped_image(part, affine, size_px, motion.gain_rgb), motion.look)
    return Cut(image, affine, flip, coarse, fine)


def collect(cuts: Sequence[Cut], plan: CropPlan, *, row: int, step: int) -> HandCrops:
    """Collect the crops of one image, which shows a time step, into a sample."""
    first, full, local = cuts[0], cuts[1 : plan.full], cuts[plan.full :]
    back = np.vstack([invert_affine(first.affine), [0, 0, 1]])
    maps = [torch.from_numpy(each.affine @ back).float() for each in full]
    size, small = first.image.shape[-1], plan.local_size_px
    return HandCrops(
        first.image,
        first.coarse,
        first.fine,
        row,
        2 * step + first.flip,
        _stack([each.image for each in full], (3, size, size), torch.uint8),
        _stack(maps, (2, 3), torch.float32),
        _stack([each.image for each in local], (3, small, small), torch.uint8),
        torch.tensor([each.coarse for each in cuts[1:]], dtype=torch.int64),
        torch.tensor([each.fine for each in cuts[1:]], dtype=torch.int64),
        torch.tensor([2 * step + each.flip for each in cuts[1:]], dtype=torch.int64),
    )


def _stack(tensors: list[Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.stack(tensors) if tensors else torch.zeros(0, *shape, dtype=dtype)
