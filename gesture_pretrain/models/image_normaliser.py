"""Normalisation of stored uint8 pixels for a backbone."""

import torch
from torch import Tensor, nn

from gesture_pretrain.models.backbone import InputSpec


class ImageNormaliser(nn.Module):
    """Computes `(value / 255 - mean) / std` per channel, on the device of the image.

    Args:
        input_spec: Provides mean and standard deviation.
        channels_last: Return channels-last memory order, which speeds up convolutions on a CPU and
            in half precision on a GPU.
    """

    def __init__(self, input_spec: InputSpec, *, channels_last: bool = False):
        super().__init__()
        shape = (1, 3, 1, 1)
        mean = 255.0 * torch.tensor(input_spec.mean, dtype=torch.float64)
        std = 255.0 * torch.tensor(input_spec.std, dtype=torch.float64)
        self.register_buffer("mean", mean.float().reshape(shape), persistent=False)
        self.register_buffer("std", std.float().reshape(shape), persistent=False)
        self.channels_last = channels_last

    def forward(self, image: Tensor) -> Tensor:
        """Normalise a batch.

        Args:
            image: `(B, 3, H, W)` uint8, RGB.

        Returns:
            `(B, 3, H, W)` float32.

        Raises:
            TypeError: The image is not uint8, so its value range is unknown.
        """
        if image.dtype != torch.uint8:
            raise TypeError(
                f"images must be uint8 in 0..255, got {image.dtype}. Pass images that are already "
                "normalised to the backbone directly."
            )
        if self.channels_last:
            image = image.contiguous(memory_format=torch.channels_last)
        return (image.to(self.mean.dtype) - self.mean) / self.std
