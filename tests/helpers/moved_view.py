"""One view of a hand, cropped without the arithmetic of batches: a reference for the loaders."""

from dataclasses import dataclass, field, replace

import numpy as np

from gesture_pretrain.data.images import ImageFiles, ImagePart
from gesture_pretrain.data.samples.augmentation import (
    MIRRORED_HAND,
    NO_SIDE,
    Motion,
    crop_maps,
    crop_pixels,
    move_intrinsics,
)
from gesture_pretrain.data.samples.crop_images import CropImages
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.geometry.crop import apply_affine
from gesture_pretrain.taxonomy import Taxonomy


@dataclass(frozen=True)
class HandView:
    """A hand in an image or in a crop; the box is the square that a crop shows."""

    image: ImagePart
    box_xywh_px: np.ndarray
    keypoints_px: np.ndarray = field(default_factory=lambda: np.zeros((21, 2)))
    joints_rel_mm: np.ndarray = field(default_factory=lambda: np.zeros((21, 3)))
    joint_valid: np.ndarray = field(default_factory=lambda: np.zeros(21, bool))
    hand: int = NO_SIDE
    coarse: int = -1
    fine: int = -1
    intrinsics: np.ndarray | None = None

    @property
    def image_rgb(self) -> np.ndarray:
        return self.image.image_rgb


def view_of(dataset: GestureDataset, position: int) -> HandView:
    """The whole image at a position, with its annotation."""
    row = dataset.rows[[position]]
    notes = dataset.annotations.read(row)
    images = CropImages(ImageFiles(reduced_decode=False), dataset.size_px)
    size_wh = tuple(notes.sizes_wh[0].tolist())
    part, box = images.read(row[0], notes.files[0], size_wh, notes.boxes_xywh_px[0], Motion())
    return HandView(
        part,
        box,
        notes.keypoints_px[0],
        notes.joints_rel_mm[0],
        notes.joint_valid[0],
        int(notes.hands[0]),
        int(dataset.coarse[position]),
        int(dataset.fine[position]),
    )


def move_view(view: HandView, motion: Motion, *, size_px: int, taxonomy: Taxonomy) -> HandView:
    """Crop a view to a square and move everything in it."""
    mirrored = taxonomy.flip(view.coarse, view.fine) if motion.flip else None
    flip = mirrored is not None
    coarse, fine = mirrored if flip else (view.coarse, view.fine)
    affines, rotations = crop_maps(view.box_xywh_px[None], [motion], [flip], size_px)
    affine, rotation = affines[0], rotations[0]
    camera = view.intrinsics
    return replace(
        view,
        image=ImagePart(crop_pixels(view.image, affine, size_px, motion.gain_rgb)),
        box_xywh_px=np.array([0.0, 0.0, size_px, size_px]),
        keypoints_px=apply_affine(view.keypoints_px, affine),
        joints_rel_mm=view.joints_rel_mm @ rotation.T,
        hand=MIRRORED_HAND[view.hand] if flip else view.hand,
        coarse=coarse,
        fine=fine,
        intrinsics=None if camera is None else move_intrinsics(camera, affine, rotation),
    )
