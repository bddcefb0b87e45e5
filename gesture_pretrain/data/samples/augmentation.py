"""Random crops of a hand, which move pixels, joints, camera, handedness and classes together.

Pixel coordinates follow the convention of `gesture_pretrain.geometry`: the centre of the box
becomes size / 2. Random numbers are drawn beforehand (`Augmentation.draw`) from a counter-based
stream, so a sample depends only on (seed, epoch, row).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from gesture_pretrain.data.images import ImagePart
from gesture_pretrain.data.samples.photometric import PHOTOMETRIC, Look
from gesture_pretrain.schema import Fraction, section

RIGHT, LEFT, NO_SIDE = 0, 1, -1
MIRRORED_HAND = {RIGHT: LEFT, LEFT: RIGHT, NO_SIDE: NO_SIDE}
# last word of the counter: keeps the streams of one key apart (the sampler's order has another)
_AUGMENTATION_STREAM = 1


@dataclass(frozen=True)
class Motion:
    """Geometric and photometric change of one crop.

    Attributes:
        scale: Factor on the side of the box; above 1 shows more around the hand.
        rotation_deg: Rotation of the box; the content rotates by the negative angle.
        translation: (2,) shift of the box in x and y, as a fraction of its side.
        flip: Mirror left and right, where the classes have a mirror image.
        gain_rgb: (3,) factor on each colour channel.
        look: Further photometric change of the crop; None for none.
    """

    scale: float = 1.0
    rotation_deg: float = 0.0
    translation: tuple[float, float] = (0.0, 0.0)
    flip: bool = False
    gain_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    look: Look | None = None

    def mirrored(self, flip: bool) -> "Motion":
        """Return the same motion with or without the mirror."""
        return replace(self, flip=flip)


@section
class Augmentation:
    """Ranges of the random motion; each is drawn uniformly and independently.

    Attributes:
        scale: The side of the box is multiplied by 1 +- scale.
        rotation_deg: The box rotates by up to this angle in either direction.
        translation: The box moves by up to this fraction of its side in x and in y.
        colour: Each channel is multiplied by 1 +- colour.
        flip: Probability of a mirrored crop. A view whose classes have no mirror image in the
            taxonomy is never mirrored.
        photometric: A preset of `PHOTOMETRIC`: "eanet" for the gain of `colour` only, or
            "photographs" for strong changes of tone, sharpness and noise.

    Raises:
        ValueError: A range is invalid.
    """

    scale: Annotated[float, Field(ge=0, le=0.99)] = 0.25
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 30.0
    translation: Fraction = 0.05
    colour: Fraction = 0.2
    flip: Fraction = 0.0
    photometric: Literal[tuple(PHOTOMETRIC)] = "eanet"

    def draw(self, stream: np.random.Generator) -> Motion:
        """Draw a motion, always with eight numbers for geometry and gain, for any ranges."""
        numbers = stream.random(8).tolist()
        scale, turn, right, down, *gains = (2 * number - 1 for number in numbers[:7])
        draw_look = PHOTOMETRIC[self.photometric]
        return Motion(
            scale=1 + self.scale * scale,
            rotation_deg=self.rotation_deg * turn,
            translation=(self.translation * right, self.translation * down),
            flip=numbers[7] < self.flip,
            gain_rgb=tuple(1 + self.colour * gain for gain in gains),
            look=None if draw_look is None else draw_look(stream),
        )


NONE = Augmentation(scale=0.0, rotation_deg=0.0, translation=0.0, colour=0.0, flip=0.0)


def augmentation_stream(seed: int, epoch: int, row: int, crop: int = 0) -> np.random.Generator:
    """Return the random stream of one crop: Philox, keyed by (seed, epoch), at row and crop."""
    counter = np.array([0, crop, row, _AUGMENTATION_STREAM], np.uint64)
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, epoch], np.uint64), counter=counter)
    )


def draw_motions(
    augmentation: Augmentation,
    seed: int,
    epochs: Sequence[int],
    rows: Sequence[int],
    *,
    crop: int = 0,
) -> list[Motion]:
    """Draw a motion for each epoch and row.

    Equals `augmentation.draw(augmentation_stream(seed, epoch, row, crop))` but repositions one
    generator, because creating a generator takes longer than drawing.
    """
    bits = np.random.Philox(key=np.zeros(2, np.uint64))
    stream, state = np.random.Generator(bits), bits.state
    key, counter = state["state"]["key"], state["state"]["counter"]
    key[0], counter[1], counter[3] = seed, crop, _AUGMENTATION_STREAM
    motions = []
    for epoch, row in zip(epochs, rows, strict=True):
        key[1], counter[2] = epoch, row
        bits.state = state
        motions.append(augmentation.draw(stream))
    return motions


def crop_maps(
    boxes_xywh_px: np.ndarray, motions: Sequence[Motion], flips: Sequence[bool], size_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the maps of pixels and vectors for N crops at once.

    The pixels move as in `crop_affine` of the shifted box, without its float32 rounding
    (3e-5 px): that function solves for the map as other loaders do, to the last digit of theirs.

    Args:
        boxes_xywh_px: (N, 4) squares.
        motions: N motions; their `flip` is ignored.
        flips: Whether each of N crops is mirrored.
        size_px: Side of the crops.

    Returns:
        (N, 2, 3) maps from image to crop pixels, (N, 3, 3) maps of camera-frame vectors
        (`crop_rotation`).
    """
    turns = (math.radians(motion.rotation_deg) for motion in motions)
    numbers = [
        (math.cos(turn), math.sin(turn), motion.scale, *motion.translation)
        for turn, motion in zip(turns, motions, strict=True)
    ]
    cos, sin, scale, right, down = np.array(numbers).T
    mirror = np.where(flips, -1.0, 1.0)
    rotations = np.zeros((len(motions), 3, 3))
    rotations[:, 0, 0], rotations[:, 0, 1] = cos * mirror, sin
    rotations[:, 1, 0], rotations[:, 1, 1] = -sin * mirror, cos
    rotations[:, 2, 2] = 1
    x, y, side = boxes_xywh_px[:, 0], boxes_xywh_px[:, 1], boxes_xywh_px[:, 2]
    centre_x, centre_y = x + side * (0.5 + right), y + side * (0.5 + down)
    affines = rotations[:, :2] * (size_px / (side * scale))[:, None, None]
    moved = affines[:, :, 0] * centre_x[:, None] + affines[:, :, 1] * centre_y[:, None]
    affines[:, :, 2] = size_px / 2 - moved
    return affines, rotations


def crop_pixels(
    image: ImagePart, affine: np.ndarray, size_px: int, gain_rgb: tuple[float, float, float]
) -> np.ndarray:
    """Cut a crop (size_px, size_px, 3) uint8 out of an image, and apply a colour gain.

    Args:
        image: The image, or at least the part that the crop shows.
        affine: (2, 3) map from pixels of the original image to those of the crop.
        size_px: Side of the crop.
        gain_rgb: (3,) factor on each colour channel.
    """
    return recolour(warp(image.image_rgb, image.crop_affine(affine), size_px), gain_rgb)


def warp(image: np.ndarray, affine: np.ndarray, size_px: int) -> np.ndarray:
    """Cut a crop (size_px, size_px, 3) by a (2, 3) map from image to crop pixels, bilinearly.

    OpenCV 5 has vector code for one and four channels, not for three. A fourth channel gives the
    same bytes in a third of the time, including both conversions.
    """
    four = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    four = cv2.warpAffine(four, affine, (size_px, size_px), flags=cv2.INTER_LINEAR)
    return cv2.cvtColor(four, cv2.COLOR_RGBA2RGB)


def recolour(image_rgb: np.ndarray, gain_rgb: tuple[float, float, float]) -> np.ndarray:
    """Multiply each channel by its gain, with rounding and saturation."""
    if tuple(gain_rgb) == (1.0, 1.0, 1.0):
        return image_rgb
    return cv2.transform(image_rgb, np.diag(gain_rgb))


def move_intrinsics(intrinsics: np.ndarray, affine: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return the projection (3, 3) of a crop, for joints rotated by `rotation`.

    With homogeneous pixels, the crop shows x at A K x. The rotated joints are Q x, so their
    projection is A K Q^T.

    Args:
        intrinsics: (2, 3) matrix K with ``pixel = K @ (x/z, y/z, 1)``.
        affine: (2, 3) map A from image pixels to crop pixels.
        rotation: (3, 3) map Q of camera-frame vectors.
    """
    last = [0.0, 0.0, 1.0]
    return np.vstack([affine, last]) @ np.vstack([intrinsics, last]) @ rotation.T
