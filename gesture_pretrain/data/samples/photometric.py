"""Photometric augmentation: the effects of a camera, its light and a file format on a crop.

A preset draws a `Look` from the random stream of a sample, and `apply_look` applies it. The look
holds all random numbers, so a crop depends only on (seed, epoch, row). OpenCV takes a fraction of
the time of torchvision.transforms.v2 on byte images.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

Sample = TypeVar("Sample", bound=NamedTuple)

_NUM_DRAWS = 32  # a few to spare
_REFERENCE_PX = 128  # lengths in pixels are for crops of this side


class Look(NamedTuple):
    """One photometric change; the defaults change nothing.

    Attributes:
        grey: Whether the crop is converted to grey.
        gains_rgb: Factor on each channel: exposure and white balance.
        gamma: Exponent on levels in [0, 1].
        contrast: From -1 (flatter) to 1 (steeper) about the middle level.
        blur: Standard deviation of a Gaussian blur, px of a 128-px crop.
        motion: Length of a motion blur, px of a 128-px crop.
        motion_rad: Its direction.
        shrink: The crop is reduced to this fraction of its side and enlarged again.
        noise: Standard deviation of the noise, in grey levels.
        noise_key: Key of the noise's random stream.
        jpeg: JPEG quality, 1 to 100; 0 for no compression.
        cutout: Left, top, width and height of a filled rectangle, as fractions of the side.
        cutout_rgb: Its colour.
    """

    grey: bool = False
    gains_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    contrast: float = 0.0
    blur: float = 0.0
    motion: float = 0.0
    motion_rad: float = 0.0
    shrink: float = 1.0
    noise: float = 0.0
    noise_key: int = 0
    jpeg: int = 0
    cutout: tuple[float, float, float, float] | None = None
    cutout_rgb: tuple[int, int, int] = (0, 0, 0)


def draw_photograph_look(stream: np.random.Generator) -> Look:
    """Draw a strong change, so that networks trained on rendered hands work on photographs."""
    u = iter(stream.random(_NUM_DRAWS).tolist())

    def chosen(probability: float) -> bool:
        return next(u) < probability

    def between(low: float, high: float) -> float:
        return low + (high - low) * next(u)

    # every number is drawn, whether it is used or not
    grey, toned, blurred, moved, shrunk = map(chosen, (0.1, 0.8, 0.25, 0.12, 0.25))
    noisy, compressed, covered = map(chosen, (0.4, 0.5, 0.25))
    exposure, warmth, tint = between(-0.4, 0.4), between(-0.2, 0.2), between(-0.06, 0.06)
    gamma, contrast = 2.0 ** between(-0.8, 0.8), between(-0.4, 0.6)
    blur, motion, angle = between(0.3, 1.8), between(2.0, 8.0), between(0.0, np.pi)
    shrink, noise, key = between(0.25, 0.8), between(1.0, 16.0), between(0.0, 2.0**53)
    quality = int(between(15, 90))
    width, height = between(0.1, 0.4), between(0.1, 0.4)
    left, top = between(-0.1, 0.9), between(-0.1, 0.9)
    # one number for three channels keeps the number of draws small
    colour = int(between(0, 256**3))
    log_gains = exposure + np.array([warmth, tint, -warmth])
    return Look(
        grey=grey,
        gains_rgb=tuple(np.exp(log_gains).tolist()) if toned else (1.0, 1.0, 1.0),
        gamma=gamma if toned else 1.0,
        contrast=contrast if toned else 0.0,
        blur=blur if blurred else 0.0,
        motion=motion if moved else 0.0,
        motion_rad=angle,
        shrink=shrink if shrunk else 1.0,
        noise=noise if noisy else 0.0,
        noise_key=int(key),
        jpeg=quality if compressed else 0,
        cutout=(left, top, width, height) if covered else None,
        cutout_rgb=(colour & 255, colour >> 8 & 255, colour >> 16),
    )


# "eanet" is EANet's augmentation: the gain of each channel that `Augmentation.colour` draws
PHOTOMETRIC: dict[str, Callable[[np.random.Generator], Look] | None] = {
    "eanet": None,
    "photographs": draw_photograph_look,
}


def apply_look(image_rgb: np.ndarray, look: Look) -> np.ndarray:
    """Apply a look to a crop (S, S, 3) uint8, and return a new array."""
    size = len(image_rgb)
    scale = size / _REFERENCE_PX
    image = _with_tone(image_rgb, look)
    if look.blur:
        image = cv2.GaussianBlur(image, (0, 0), scale * look.blur)
    if look.motion:
        image = blur_motion(image, scale * look.motion, look.motion_rad)
    if look.shrink != 1.0:
        small = max(1, round(look.shrink * size))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    if look.cutout is not None:
        image = _with_cutout(image, look)
    if look.noise:
        stream = np.random.Generator(np.random.SFC64(look.noise_key))
        noise = look.noise * stream.standard_normal(image.shape, dtype=np.float32)
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    if look.jpeg:
        image = _compressed(image, look.jpeg)
    return image


def with_looks(samples: Sequence[Sample], looks: Sequence[Look | None]) -> list[Sample]:
    """Apply looks to the images of samples.

    Args:
        samples: Named tuples with an `image`, (3, S, S) uint8.
        looks: Look of each sample; None changes nothing.

    Raises:
        ValueError: An image is not made of bytes.
    """
    return [
        sample if look is None else sample._replace(image=with_look(sample.image, look))
        for sample, look in zip(samples, looks, strict=True)
    ]


def with_look(image: Tensor, look: Look | None) -> Tensor:
    """Apply a look to an image (3, S, S) uint8; None changes nothing.

    Raises:
        ValueError: The image is not made of bytes.
    """
    if look is None:
        return image
    if image.dtype != torch.uint8:
        raise ValueError(
            f"photometric augmentation needs uint8 images, these are {image.dtype}. "
            "Set photometric to 'eanet', or load uint8 images."
        )
    changed = apply_look(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), look)
    return torch.from_numpy(np.ascontiguousarray(changed.transpose(2, 0, 1)))


def _with_tone(image: np.ndarray, look: Look) -> np.ndarray:
    """Convert to grey, then apply gains, gamma and contrast by one look-up table."""
    if look.grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    level = np.linspace(0.0, 1.0, 256)[:, None] * look.gains_rgb
    level = np.clip(level, 0.0, 1.0) ** look.gamma
    level += look.contrast * (level * level * (3 - 2 * level) - level)
    return cv2.LUT(image, np.rint(255 * np.clip(level, 0.0, 1.0)).astype(np.uint8)[:, None])


def blur_motion(image: np.ndarray, length_px: float, angle_rad: float) -> np.ndarray:
    """Blur an image along a line, as by motion during the exposure."""
    size = 2 * int(np.ceil(length_px / 2)) + 1
    kernel = np.zeros((size, size), np.float32)
    half = length_px / 2 * np.array([np.cos(angle_rad), np.sin(angle_rad)])
    middle = np.array([size // 2, size // 2])
    ends = (np.rint(16 * (middle + sign * half)).astype(int) for sign in (-1, 1))
    cv2.line(kernel, *(tuple(map(int, end)) for end in ends), 1.0, 1, cv2.LINE_AA, shift=4)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


def _with_cutout(image: np.ndarray, look: Look) -> np.ndarray:
    left, top, width, height = (round(len(image) * value) for value in look.cutout)
    image = image.copy()
    image[max(top, 0) : top + height, max(left, 0) : left + width] = look.cutout_rgb
    return image


def _compressed(image_rgb: np.ndarray, quality: int) -> np.ndarray:
    """Compress an image as JPEG and decode it again."""
    swapped = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
