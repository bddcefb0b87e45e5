"""Square crops of hands, as the datasets make them; left hands can be mirrored."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapters.prediction.intrinsics import Intrinsics
from gesture_pretrain.data.images import reduced_image
from gesture_pretrain.data.samples.augmentation import warp
from gesture_pretrain.geometry.boxes import square_box
from gesture_pretrain.geometry.camera import viewing_rotation
from gesture_pretrain.geometry.crop import crop_affine, crop_rotation, invert_affine

_LARGEST_PX = 100_000


class HandCrops(NamedTuple):
    """B crops; pose networks accept them as a batch for prediction.

    Attributes:
        image: `(B, 3, S, S)` uint8, RGB.
        hand: `(B,)` int64, 0 for right, also for mirrored left hands.
        row: `(B,)` int64, index of the image.
        image_from_crop: `(B, 2, 3)` float32, maps crop px to image px.
        camera_from_crop: `(B, 3, 3)` float32, maps vectors in the frame of the crop to the image's
            camera.
    """

    image: Tensor
    hand: Tensor
    row: Tensor
    image_from_crop: Tensor
    camera_from_crop: Tensor


def crop_hands(
    images: Sequence[np.ndarray],
    boxes_xywh_px: Sequence[np.ndarray],
    mirrored: Sequence[bool],
    size_px: int,
    *,
    cameras: Sequence[Intrinsics] | None = None,
) -> HandCrops:
    """Crop squares from images `(H, W, 3)`, uint8 RGB, with area averaging when shrinking.

    Args:
        images: B images.
        boxes_xywh_px: Square box of each image.
        mirrored: Whether to mirror each crop.
        size_px: Side S of the crops.
        cameras: Camera of each image, if poses are in views of the crops (frame "view" of
            `PoseDataset`); None if they have the axes of the image's camera.
    """
    affines = [
        crop_affine(box, size_px, flip=bool(flip))
        for box, flip in zip(boxes_xywh_px, mirrored, strict=True)
    ]
    crops = np.stack(
        [
            _crop(image, box, affine, size_px)
            for image, box, affine in zip(images, boxes_xywh_px, affines, strict=True)
        ]
    )
    rotations = [crop_rotation(flip=bool(flip)) for flip in mirrored]
    if cameras is not None:
        views = map(_view, boxes_xywh_px, cameras)
        rotations = [turn @ view.T for turn, view in zip(rotations, views, strict=True)]
    back = np.stack([invert_affine(affine) for affine in affines]).astype(np.float32)
    return HandCrops(
        image=torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous(),
        hand=torch.zeros(len(crops), dtype=torch.int64),
        row=torch.arange(len(crops)),
        image_from_crop=torch.from_numpy(back),
        camera_from_crop=torch.from_numpy(np.stack(rotations).mT.astype(np.float32)),
    )


def _view(box_xywh_px: np.ndarray, camera: Intrinsics) -> np.ndarray:
    middle_px = box_xywh_px[:2] + box_xywh_px[2:] / 2
    return viewing_rotation(middle_px, np.full(2, camera.focal_px), camera.centre_px)


def _crop(
    image_rgb: np.ndarray, box_xywh_px: np.ndarray, affine: np.ndarray, size_px: int
) -> np.ndarray:
    part = reduced_image(image_rgb, shrink=box_xywh_px[2] / size_px)
    return warp(part.image_rgb, part.crop_affine(affine), size_px)


def square_hand_box(
    image: np.ndarray, box_xywh_px: Sequence[float] | None, *, box_ratio: float, number: int | str
) -> np.ndarray:
    """Return the square to crop: `box_ratio` times the box, or the whole image without a box.

    Args:
        image: `(H, W, 3)`.
        box_xywh_px: Bounding box of the hand, or None.
        box_ratio: Side of the square over the longer side of the box.
        number: Index or name of the image, for messages.

    Raises:
        ValueError: The box has no area, or lies outside the image.
    """
    height, width = image.shape[:2]
    if box_xywh_px is None:
        return square_box([0, 0, width, height])
    box = np.asarray(box_xywh_px, np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 1).any():
        raise ValueError(
            f"box of image {number} is {box_xywh_px}; it must be x, y, width, height in pixels "
            "with a width and height of at least 1"
        )
    if np.abs(box).max() > _LARGEST_PX:
        raise ValueError(f"box of image {number} ({box.tolist()}) is larger than any image")
    if (box[:2] >= (width, height)).any() or (box[:2] + box[2:] <= 0).any():
        raise ValueError(
            f"box of image {number} ({box.tolist()}) lies outside its {width} x {height} px"
        )
    return square_box(box, box_ratio)
