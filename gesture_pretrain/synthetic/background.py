"""Backgrounds for rendered hands: blurred colour fields with shapes in front, made from a seed.

Procedural, so that nothing is downloaded and every picture may be given away. Making one takes
milliseconds; a renderer makes a few once and cuts its pictures out of them.
"""

import cv2
import numpy as np


def make_background(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """One picture of (size_px, size_px, 3) float32 sRGB in [0, 1]."""
    picture = _colour_field(rng, size_px)
    for _ in range(rng.integers(2, 9)):
        picture = _draw_shape(picture, rng, size_px)
    sigma = size_px / 256 * rng.uniform(0.3, 4.0)
    picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    grain = rng.standard_normal((size_px, size_px, 1)).astype(np.float32)
    return np.clip(picture + 0.02 * rng.uniform() * grain, 0.0, 1.0).astype(np.float32)


class BackgroundPool:
    """A few backgrounds of twice the picture's size; each picture shows a random part of one.

    Args:
        seed: the same seed gives the same pool.
        size_px: side of the pictures that will be cut out.
        count: how many are made.
    """

    def __init__(self, *, seed: int, size_px: int, count: int = 32):
        rng = np.random.Generator(np.random.Philox(key=[seed, 0xBAC6]))
        self.size_px = size_px
        pictures = (make_background(rng, 2 * size_px) for _ in range(count))
        self._pictures = [np.rint(255 * picture).astype(np.uint8) for picture in pictures]

    def cut(self, rng: np.random.Generator) -> np.ndarray:
        """A random part, flip and channel order: (size_px, size_px, 3) float32 in [0, 1]."""
        picture = self._pictures[rng.integers(len(self._pictures))]
        top, left = rng.integers(0, self.size_px + 1, 2)
        part = picture[top : top + self.size_px, left : left + self.size_px]
        if rng.integers(2):
            part = part[:, ::-1]
        return part[..., rng.permutation(3)].astype(np.float32) / np.float32(255)


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A colour in [0, 1]; mostly muted, as rooms and walls are."""
    colour = rng.uniform(0.0, 1.0, 3)
    if rng.uniform() < 0.75:
        colour = colour.mean() + 0.2 * (colour - colour.mean())
    return colour.astype(np.float32)


def _colour_field(rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Low-frequency colours between two anchors, with three octaves of grey unevenness."""
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


def _draw_shape(picture: np.ndarray, rng: np.random.Generator, size_px: int) -> np.ndarray:
    """One polygon, ellipse or line of random colour, partly transparent."""
    layer = picture.copy()
    colour = tuple(float(c) for c in _colour(rng))
    kind = rng.integers(3)
    if kind == 0:
        centre = rng.uniform(0, size_px, 2)
        corners = centre + rng.uniform(-0.4, 0.4, (int(rng.integers(3, 7)), 2)) * size_px
        cv2.fillPoly(layer, [corners.astype(np.int32)], colour)
    elif kind == 1:
        centre = tuple(int(c) for c in rng.uniform(0, size_px, 2))
        axes = tuple(int(a) for a in rng.uniform(0.03, 0.35, 2) * size_px)
        cv2.ellipse(layer, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
    else:
        ends = rng.uniform(0, size_px, (2, 2)).astype(int)
        width = max(1, int(rng.uniform(0.004, 0.06) * size_px))
        cv2.line(layer, tuple(map(int, ends[0])), tuple(map(int, ends[1])), colour, width)
    weight = float(rng.uniform(0.5, 1.0))
    return cv2.addWeighted(layer, weight, picture, 1.0 - weight, 0.0)
