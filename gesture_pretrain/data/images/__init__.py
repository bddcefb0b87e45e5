"""Sources of a dataset's pixels: image files, or shards of decoded pixels."""

from gesture_pretrain.data.images.card import StaleShards
from gesture_pretrain.data.images.files import (
    ImageFiles,
    ImagePart,
    ImageSource,
    channels_first,
    read_image_rgb,
    reduced_image,
)
from gesture_pretrain.data.images.shards import Shards, write_shards

__all__ = [
    "ImageFiles",
    "ImagePart",
    "ImageSource",
    "Shards",
    "StaleShards",
    "channels_first",
    "read_image_rgb",
    "reduced_image",
    "write_shards",
]
