"""Procedural backgrounds for rendered hands: blurred colour fields with shapes in front.

They need no download and no licence. Making one takes
milliseconds; a renderer makes a few and crops its images from them.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from gesture_pretrain.data.index.record import SPLITS


class PackagePhotographs(NamedTuple):
    """Photographs shipped with an installable package."""

    module: str
    split_of: dict[str, str]  # file within the module -> split
    licence: str


PACKAGE_PHOTOGRAPHS = {
    "scikit-learn": PackagePhotographs(
        "sklearn",
        {"datasets/images/china.jpg": "train", "datasets/images/flower.jpg": "test"},
        "CC-BY-2.0 (china.jpg by danielbuechele and flower.jpg by vultilion, Flickr)",
    ),
    "scikit-image": PackagePhotographs(
        "skimage",
        {
            "data/coffee.png": "train",
            "data/brick.png": "train",
            "data/grass.png": "train",
            "data/rocket.jpg": "val",
            "data/chelsea.png": "val",
            "data/gravel.png": "test",
        },
        "CC0-1.0 or public domain",
    ),
}
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def make_background(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Make an image (size_px, size_px, 3), float32 sRGB in [0, 1]."""
    image = _colour_field(rng, size_px)
    for _ in range(rng.integers(2, 9)):
        image = _draw_shape(image, rng, size_px)
    sigma = size_px / 256 * rng.uniform(0.3, 4.0)
    image = cv2.GaussianBlur(image, (0, 0), sigma)
    grain = rng.standard_normal((size_px, size_px, 1)).astype(np.float32)
    return np.clip(image + 0.02 * rng.uniform() * grain, 0.0, 1.0).astype(np.float32)


class BackgroundPool:
    """Pool of backgrounds of twice the image's size; each image shows a random crop of one.

    Args:
        seed: The same seed gives the same pool.
        size_px: Side of the crops.
        count: Number of backgrounds.
    """

    def __init__(self, *, seed: int, size_px: int, count: int = 32):
        rng = np.random.Generator(np.random.Philox(key=[seed, 0xBAC6]))
        self.size_px = size_px
        images = (make_background(rng, 2 * size_px) for _ in range(count))
        self._images = [np.rint(255 * image).astype(np.uint8) for image in images]

    def cut(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """Draw a crop, flip and channel order: (size_px, size_px, 3) float32 in [0, 1].

        Also return the name of the background: its number in the pool.
        """
        index = int(rng.integers(len(self._images)))
        image = self._images[index]
        top, left = rng.integers(0, self.size_px + 1, 2)
        part = image[top : top + self.size_px, left : left + self.size_px]
        if rng.integers(2):
            part = part[:, ::-1]
        return part[..., rng.permutation(3)].astype(np.float32) / np.float32(255), str(index)


class SplitPool:
    """Backgrounds of one split: cluttered synthetic images, and photographs.

    Args:
        seed: The same seed, split and photographs give the same pool.
        split: No image is in the pools of two splits.
        size_px: Side of the crops.
        photographs: Name -> file of each photograph.
        count: Number of synthetic images.
    """

    def __init__(
        self, *, seed: int, split: str, size_px: int, photographs: dict[str, Path], count: int = 64
    ):
        rng = np.random.Generator(np.random.Philox(key=[seed, 0xBAC7 + SPLITS.index(split)]))
        self._size_px = size_px
        made = [make_clutter(rng, 2 * size_px) for _ in range(count)]
        self._made = {f"{split}{seed}.{k}": image for k, image in enumerate(made)}
        self._photographs = {n: _read_photograph(p, size_px) for n, p in photographs.items()}
        # a network would memorise a few photographs
        self._photograph_fraction = min(len(photographs) / (len(photographs) + 8), 0.7)

    def cut(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """Draw a recoloured crop (size_px, size_px, 3), float32 in [0, 1], and its name."""
        photograph = rng.uniform() < self._photograph_fraction
        images = self._photographs if photograph else self._made
        name = list(images)[rng.integers(len(images))]
        image = images[name]
        largest = min(image.shape[:2])
        side = int(largest * np.exp(rng.uniform(np.log(0.35), 0.0)))
        top, left = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
        part = image[top : top + side, left : left + side]
        way = cv2.INTER_AREA if side > self._size_px else cv2.INTER_LINEAR
        part = cv2.resize(part, (self._size_px, self._size_px), interpolation=way)
        if rng.integers(2):
            part = part[:, ::-1]
        if not photograph:
            part = part[..., rng.permutation(3)]
        gains = np.exp(rng.normal(0.0, 0.25) + rng.normal(0.0, 0.06, 3)) / 255
        return np.minimum(part * gains.astype(np.float32), 1.0), name


def find_photographs(folder: Path | None, packages: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Find the photographs of each split, name -> file. No photograph is in two splits.

    Args:
        folder: JPEG and PNG files, sub-folders included: of six in a row, four are for training,
            one for validation and one for testing. None for none.
        packages: Keys of `PACKAGE_PHOTOGRAPHS` to use.

    Raises:
        ValueError: The folder holds fewer than three images, or a package is not installed.
    """
    found = {split: {} for split in SPLITS}
    for package in packages:
        for name, split in PACKAGE_PHOTOGRAPHS[package].split_of.items():
            found[split][f"{package}/{name}"] = _package_file(package, name)
    if folder is None:
        return found
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in _IMAGE_SUFFIXES)
    if len(files) < len(SPLITS):
        raise ValueError(
            f"{folder} holds {len(files)} images (*.jpg, *.jpeg, *.png); every split needs one."
        )
    for index, path in enumerate(files):
        split = ("train", "val", "test", "train", "train", "train")[index % 6]
        found[split][path.relative_to(folder).as_posix()] = path
    return found


def _package_file(package: str, name: str) -> Path:
    module = importlib.util.find_spec(PACKAGE_PHOTOGRAPHS[package].module)
    path = None if module is None else Path(module.origin).parent / name
    if path is None or not path.is_file():
        raise ValueError(f"{package} with {name} is not installed; run: pip install {package}")
    return path


def _read_photograph(path: Path, size_px: int) -> np.ndarray:
    """Read (H, W, 3) uint8 RGB, one to four times as large as the images."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} is not readable as an image; remove it from the folder.")
    shorter = min(image.shape[:2])
    factor = np.clip(shorter, size_px, 4 * size_px) / shorter
    if factor != 1:
        size = tuple(max(size_px, round(factor * length)) for length in image.shape[1::-1])
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image[..., ::-1]


def make_clutter(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Make a cluttered image (size_px, size_px, 3), uint8: texture, shelf-like bars, shapes."""
    image = _texture(rng, size_px)
    if rng.uniform() < 0.4:
        _draw_bars(image, rng)
    shapes = int(rng.integers(0, 30))
    for _ in range(shapes):
        image = _draw_shape(image, rng, size_px, scale=rng.uniform(0.1, 1.0))
    sigma = size_px / 512 * np.exp(rng.uniform(np.log(0.4), np.log(6.0)))
    image = cv2.GaussianBlur(image, (0, 0), sigma)
    if rng.uniform() < 0.7:  # few places are as colourful as random colours
        grey = image.mean(axis=-1, keepdims=True)
        image = grey + rng.uniform(0.1, 0.6) * (image - grey)
    return np.rint(255 * np.clip(image, 0.0, 1.0)).astype(np.uint8)


def _texture(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Sum octaves of noise whose strength falls with frequency, as in photographs."""
    image = np.empty((size_px, size_px, 3), np.float32)
    image[:] = _colour(rng)
    fall, strength = rng.uniform(0.5, 1.2), rng.uniform(0.03, 0.25)
    for octave in range(1, 8):
        cells = 2**octave
        grey = rng.standard_normal((cells, cells, 1), dtype=np.float32)
        noise = grey + 0.15 * rng.standard_normal((cells, cells, 3), dtype=np.float32)
        noise = cv2.resize(noise, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
        image += np.float32(strength * octave**-fall) * noise
    return image


def _draw_bars(image: np.ndarray, rng: np.random.Generator) -> None:
    """Draw rows of upright or lying bars, like books, in place."""
    size_px = len(image)
    turned = image.transpose(1, 0, 2) if rng.integers(2) else image
    top, left = int(rng.uniform(0.0, 0.5) * size_px), 0
    bottom = top + int(rng.uniform(0.1, 0.5) * size_px)
    while left < size_px:
        width = max(2, int(rng.uniform(0.01, 0.08) * size_px))
        turned[top + int(0.05 * size_px * rng.uniform()) : bottom, left : left + width] = _colour(
            rng
        )
        left += width


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour in [0, 1], mostly muted, like rooms and walls."""
    colour = rng.uniform(0.0, 1.0, 3)
    if rng.uniform() < 0.75:
        colour = colour.mean() + 0.2 * (colour - colour.mean())
    return colour.astype(np.float32)


def _colour_field(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Blend two colours at low frequency, with three octaves of grey unevenness."""
    cells = int(rng.integers(2, 5))
    mix = rng.uniform(0.0, 1.0, (cells, cells, 1)).astype(np.float32)
    anchors = mix * _colour(rng) + (1.0 - mix) * _colour(rng)
    side = (size_px, size_px)
    field = cv2.resize(anchors.astype(np.float32), side, interpolation=cv2.INTER_CUBIC)
    for octave in range(3):
        cells = 6 * 3**octave
        noise = rng.standard_normal((cells, cells)).astype(np.float32)
        noise = cv2.resize(noise, side, interpolation=cv2.INTER_CUBIC)
        field += 0.03 / (octave + 1) * noise[..., None]
    return field


def _draw_shape(
    image: np.ndarray, rng: np.random.Generator, size_px: int, scale: float = 1.0
) -> np.ndarray:
    """Draw a partly transparent polygon, ellipse or line of random colour."""
    layer = image.copy()
    colour = tuple(float(c) for c in _colour(rng))
    kind = rng.integers(3)
    if kind == 0:
        centre = rng.uniform(0, size_px, 2)
        corners = centre + rng.uniform(-0.4, 0.4, (int(rng.integers(3, 7)), 2)) * size_px * scale
        cv2.fillPoly(layer, [corners.astype(np.int32)], colour)
    elif kind == 1:
        centre = tuple(int(c) for c in rng.uniform(0, size_px, 2))
        axes = tuple(int(a) for a in rng.uniform(0.03, 0.35, 2) * size_px * scale)
        cv2.ellipse(layer, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    else:
        ends = rng.uniform(0, size_px, (2, 2)).astype(int)
        width = max(1, int(rng.uniform(0.004, 0.06) * size_px * scale))
        cv2.line(layer, tuple(map(int, ends[0])), tuple(map(int, ends[1])), colour, width)
    weight = float(rng.uniform(0.5, 1.0))
    return cv2.addWeighted(layer, weight, image, 1.0 - weight, 0.0)
