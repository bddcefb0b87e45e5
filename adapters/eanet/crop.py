"""The crop of EANet and its augmentation.

One `CropView` moves pixels, joints and rotations. Its `Motion` is drawn from the same counter-based
streams as all other crops of this toolkit.
"""

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from gesture_pretrain.data.images import ImagePart
from gesture_pretrain.data.samples.augmentation import Motion
from gesture_pretrain.geometry.crop import crop_affine, crop_rotation
from gesture_pretrain.schema import Fraction, section


@section
class EanetAugmentation:
    """The random motion of the published training: clipped normal draws, half the crops mirrored.

    Attributes:
        scale: The side of the box is multiplied by 1 + scale * clip(N(0, 1), -1, 1).
        rotation_deg: The box rotates by rotation_deg * clip(N(0, 1), -2, 2).
        rotation: Probability of a rotation.
        colour: Each channel is multiplied by a uniform factor of 1 +- colour.
        flip: Probability of a mirrored crop.

    Raises:
        ValueError: A value is out of range.
    """

    scale: Annotated[float, Field(ge=0, le=0.99)] = 0.25
    rotation_deg: Annotated[float, Field(ge=0, le=90)] = 30.0
    rotation: Fraction = 0.6
    colour: Fraction = 0.2
    flip: Fraction = 0.5

    def draw(self, stream: np.random.Generator) -> Motion:
        """Draw a motion, always with the same number of draws, whatever the ranges."""
        zoom, turn = stream.standard_normal(2).tolist()
        turns, flips, *gains = stream.random(5).tolist()
        angle = self.rotation_deg * min(max(turn, -2.0), 2.0)
        return Motion(
            scale=1 + self.scale * min(max(zoom, -1.0), 1.0),
            rotation_deg=angle if turns < self.rotation else 0.0,
            flip=flips < self.flip,
            gain_rgb=tuple(1 + self.colour * (2 * gain - 1) for gain in gains),
        )


@dataclass(frozen=True)
class CropView:
    """One crop of one image.

    Attributes:
        crop_from_image: (2, 3) affine map, image px -> crop px; a mirror is part of it.
        rotation: (3, 3) map of vectors of the camera frame (`crop_rotation`).
        mirrored: The crop is mirrored.
        size_px: Side of the crop.
        grid: Cells of the heat map along x and y.
        depth_cells: Cells along z.
    """

    crop_from_image: np.ndarray
    rotation: np.ndarray
    mirrored: bool
    size_px: int
    grid: int
    depth_cells: int = 8

    @property
    def turn(self) -> np.ndarray:
        """Return the (3, 3) rotation about the viewing axis, without the mirror."""
        return self.rotation @ np.diag([-1.0 if self.mirrored else 1.0, 1.0, 1.0])


def view_of_box(bbox_xywh_px: np.ndarray, motion: Motion, *, size_px: int, grid: int) -> CropView:
    """Plan the crop of a moved box.

    Args:
        bbox_xywh_px: (4,) box; stretched to the crop if it is not square, as upstream does.
        motion: Motion of the augmentation; `Motion()` for none.
        size_px: Side of the crop.
        grid: Cells of the heat map along x and y; there are always 8 in depth.
    """
    box = np.array(bbox_xywh_px, np.float64)
    box[:2] += np.asarray(motion.translation) * box[2:]
    affine = crop_affine(
        box, size_px, scale=motion.scale, rotation_deg=motion.rotation_deg, flip=motion.flip
    )
    rotation = crop_rotation(rotation_deg=motion.rotation_deg, flip=motion.flip)
    return CropView(affine, rotation, bool(motion.flip), size_px, grid)


def crop_image(
    image: ImagePart,
    view: CropView,
    gain_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """Crop bilinearly, black outside the image.

    Args:
        image: The image, or at least the part that the crop shows.
        view: The crop.
        gain_rgb: Factor on each channel; the result stays within 0 .. 255.

    Returns:
        (S, S, 3) float32, 0 .. 255, not rounded.
    """
    patch = cv2.warpAffine(
        image.image_rgb.astype(np.float32),
        image.crop_affine(view.crop_from_image),
        (view.size_px, view.size_px),
        flags=cv2.INTER_LINEAR,
    )
    return np.clip(patch * np.float32(gain_rgb), 0, 255)


def camera_of_crop(focal_px: np.ndarray, princpt_px: np.ndarray, view: CropView) -> np.ndarray:
    """Compute the camera of the crop, for joints that are rotated by `view.rotation`.

    Returns:
        (2, 3) K with crop pixel = K @ (x/z, y/z, 1).
    """
    camera = np.column_stack([np.diag(np.float64(focal_px)), np.float64(princpt_px)])
    moved = view.crop_from_image[:, :2] @ camera
    moved[:, :2] = moved[:, :2] @ view.rotation[:2, :2].T
    moved[:, 2] += view.crop_from_image[:, 2]
    return moved
