"""A view moved with its pixels at once, as tests look at it; loaders move the two apart."""

from dataclasses import replace

from gesture_pretrain.data.images import ImagePart
from gesture_pretrain.data.samples.augmentation import (
    HandView,
    Motion,
    crop_pixels,
    move_annotations,
    plan_crop,
)
from gesture_pretrain.taxonomy import Taxonomy


def move_view(view: HandView, motion: Motion, *, size_px: int, taxonomy: Taxonomy) -> HandView:
    """Crop a view to a square and move everything in it."""
    crop = plan_crop(view, motion, size_px=size_px, taxonomy=taxonomy)
    pixels = crop_pixels(view.image, crop.affine, size_px, motion.gain_rgb)
    return replace(move_annotations(view, crop, size_px=size_px), image=ImagePart(pixels))
