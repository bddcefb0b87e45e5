"""Crops of single hands with the supervision of a 3D pose.

Everything in a sample is in the frame of its crop. The augmentation moves image, joints, camera and
MANO parameters alike. A sample depends only on (seed, epoch, row).

There are two frames of a crop. "camera" has the axes of the image's camera, rotated in the image
plane and mirrored like the crop. The appearance of a hand does not determine its pose in this
frame, because the hand looks the same from the same side anywhere in the image. "view" has the axes
of a camera that looks at the middle of the crop, as in perspective crop layers (Yu et al., CVPR
2021), but the image is not resampled. Predictions are rotated back, which requires the camera.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS, HandRecord
from gesture_pretrain.data.samples.augmentation import (
    MIRRORED_HAND,
    Augmentation,
    Motion,
    crop_maps,
    draw_motions,
    move_intrinsics,
)
from gesture_pretrain.data.samples.crop_images import cropped_image
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.hand_annotations import joints_in_view
from gesture_pretrain.data.samples.moved_fit import HandCrop, MovedFit, move_fits
from gesture_pretrain.data.samples.photometric import with_looks
from gesture_pretrain.data.samples.sampling import SampleKey, epochs_and_positions
from gesture_pretrain.data.samples.supervision import count_supervision
from gesture_pretrain.geometry.camera import viewing_rotation
from gesture_pretrain.geometry.crop import apply_affine, invert_affine
from gesture_pretrain.hand.joints import HandJoints
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.taxonomy import Taxonomy

_SINGLE = HANDS[:2]

PoseFrame = Literal["camera", "view"]


class PoseSample(NamedTuple):
    """One crop of one hand (or, collated, a batch of B of them with a leading axis B).

    Unknown values are 0 with a False flag; always use values together with their flags.

    Attributes:
        image: (3, S, S) uint8, RGB.
        coarse, fine: int64 gesture classes, -1 for none.
        hand: int64, 0 right, 1 left; of the crop, that is after a mirror.
        row: int64, row of the index.
        keypoints_px: (21, 2) float32, annotated joints in crop pixels, mano21 order.
        joints_rel_mm: (21, 3) float32, annotated joints minus the annotated wrist.
        joint_valid: (21,) bool, joint and wrist are triangulated and in front of the camera.
        joint_in_view: (21,) bool, valid, annotated as inside the image, and inside the crop.
        mano_pose: (48,) float32, axis-angle, rad, minus MANO's mean pose; the root rotates into the
            frame of the crop.
        mano_shape: (10,) float32.
        mano_joints_rel_mm: (21, 3) float32, the fit's joints minus the fit's wrist.
        mano_keypoints_px: (21, 2) float32, the fit's joints in crop pixels.
        mano_valid: bool, the hand has a fit and a camera, and is in front of the camera.
        wrist_depth_mm: float32, z of the annotated wrist in the frame of the crop; NaN where
            unknown.
        crop_camera: (3, 3) float32, P with ``px = (P @ x)[:2] / (P @ x)[2]``.
        has_camera: bool.
        image_from_crop: (2, 3) float32, crop pixels to those of the stored image; undoes a mirror.
        camera_from_crop: (3, 3) float32, vectors in the frame of the crop to those in the frame of
            the image's camera; undoes a mirror.
        mirrored: bool, the crop is mirrored.
    """

    image: Tensor
    coarse: int
    fine: int
    hand: int
    row: int
    keypoints_px: Tensor
    joints_rel_mm: Tensor
    joint_valid: Tensor
    joint_in_view: Tensor
    mano_pose: Tensor
    mano_shape: Tensor
    mano_joints_rel_mm: Tensor
    mano_keypoints_px: Tensor
    mano_valid: bool
    wrist_depth_mm: Tensor
    crop_camera: Tensor
    has_camera: bool
    image_from_crop: Tensor
    camera_from_crop: Tensor
    mirrored: bool


class PoseDataset(Dataset):
    """Crops of an index's rows with joints, MANO fit, camera and gesture classes.

    `dataset[position]` is the sample of epoch 0, `dataset[epoch, position]` that of an epoch.

    Args:
        index: The data.
        rows: (N,) rows of the index, each with one annotated hand.
        taxonomy: Gesture classes of the labels.
        size_px: Side of the crops (S).
        hand_models: "right" and "left" hand that the fits belong to.
        augmentation: Random motion; None for none.
        seed: Key of the augmentation.
        box_ratio: Side of the crop over the longer side of the annotated box.
        box_source: "annotation", or "rootnet" for the boxes detected by RootNet, which are already
            square and enlarged. Published numbers on InterHand2.6M's test split use these.
        mirror_left: Mirror every left hand, so that all crops show a right one, with MANO
            parameters of the right hand. Classes without a mirror image become -1.
        frame: "camera" or "view", see above.
        reduced_decode, shards: Source of the pixels, see `GestureDataset`. They do not affect
            anything else.
        announce: Called with the lines of `describe`; None for silence.

    Attributes:
        coarse, fine: (N,) int64 classes as the image shows them, -1 where masked.

    Raises:
        ValueError: A row is not in the index, does not show a single hand, or has no box of
            `box_source`; a hand model is missing; or flips are combined with `mirror_left`.
        DataError: The shards are damaged, unfinished, or made of another index.
    """

    def __init__(
        self,
        index: HandIndex,
        rows: Sequence[int],
        taxonomy: Taxonomy,
        size_px: int,
        *,
        hand_models: Mapping[str, HandModel],
        augmentation: Augmentation | None = None,
        seed: int = 0,
        box_ratio: float = 1.25,
        box_source: str = "annotation",
        mirror_left: bool = False,
        frame: PoseFrame = "camera",
        reduced_decode: bool = True,
        shards: str | Path | None = None,
        announce: Callable[[str], object] | None = print,
    ):
        if mirror_left and augmentation is not None and augmentation.flip:
            raise ValueError(
                f"mirror_left shows every hand as a right one, and augmentation.flip is "
                f"{augmentation.flip}. Set flip to 0, or leave mirror_left off."
            )
        # classes, boxes and images are those of Stage 1
        self._gestures = GestureDataset(
            index,
            rows,
            taxonomy,
            size_px,
            augmentation=augmentation,
            box_ratio=box_ratio,
            box_source=box_source,
            reduced_decode=reduced_decode,
            shards=shards,
            announce=None,
        )
        self.index, self.rows, self.taxonomy = index, self._gestures.rows, taxonomy
        self.coarse, self.fine = self._gestures.coarse, self._gestures.fine
        self.size_px = size_px
        self.augmentation = augmentation
        self.seed = seed
        self.box_ratio, self.box_source = box_ratio, box_source
        self.mirror_left, self.frame = mirror_left, frame
        _require_single_hands(index, self.rows)
        self._hands = {side: HandJoints(_model_of(hand_models, side)) for side in _SINGLE}
        if announce is not None:
            announce(self.describe())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: SampleKey) -> PoseSample:
        """Return the sample at a position, or at (epoch, position).

        Raises:
            DataError: The image is missing, unreadable, or of another size than annotated.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[PoseSample]:
        """Return the samples of a batch, in the order of `keys`; called by the DataLoader."""
        epochs, positions = epochs_and_positions(keys)
        records = [self.index.record(row) for row in self.rows[positions].tolist()]
        motions = self._motions(epochs, records)
        boxes = self._gestures.annotations.boxes(self.rows[positions])
        crops = [
            self._crop(*of_one)
            for of_one in zip(positions.tolist(), records, boxes, motions, strict=True)
        ]
        fits = move_fits(records, crops, self._hands)
        samples = [_to_sample(*of_one) for of_one in zip(records, crops, fits, strict=True)]
        return with_looks(samples, [motion.look for motion in motions])

    def _crop(
        self, position: int, record: HandRecord, box_xywh_px: np.ndarray, motion: Motion
    ) -> HandCrop:
        file, size_wh = str(record.image_path), record.image_size_wh
        part, box = self._gestures.images.read(record.row, file, size_wh, box_xywh_px, motion)
        flip, *classes = self._gestures.classes(position, motion, force_flip=self.mirror_left)
        affines, rotations = crop_maps(box[None], [motion], [flip], self.size_px)
        image = cropped_image(part, affines[0], self.size_px, motion.gain_rgb)
        rotation = rotations[0]
        if self.frame == "view" and record.princpt_px is not None:
            middle_px = apply_affine(np.full(2, self.size_px / 2), invert_affine(affines[0]))
            view = viewing_rotation(middle_px, record.focal_px, record.princpt_px)
            rotation = rotation @ view.T
        return HandCrop(image, affines[0], rotation, flip, *classes)

    def describe(self) -> str:
        """Describe the labels, and count hands with joints, a MANO fit and a camera."""
        supervision = count_supervision(self.index, self.rows)
        return f"{self._gestures.describe()}\n{supervision.describe()}"

    def _motions(self, epochs: Sequence[int], records: Sequence[HandRecord]) -> list[Motion]:
        if self.augmentation is None:
            motions = [Motion()] * len(records)
        else:
            rows = [record.row for record in records]
            motions = draw_motions(self.augmentation, self.seed, epochs, rows)
        if not self.mirror_left:
            return motions
        return [
            motion.mirrored(record.hand == "left")
            for motion, record in zip(motions, records, strict=True)
        ]


def _to_sample(record: HandRecord, crop: HandCrop, fit: MovedFit | None) -> PoseSample:
    side = HANDS.index(record.hand)
    keypoints_px, joints_rel_mm, valid = _joints(record, side)
    keypoints_px = _masked(apply_affine(keypoints_px, crop.affine), valid)
    inside = np.all((keypoints_px >= 0) & (keypoints_px <= crop.image.shape[-1]), axis=1)
    has_camera = record.princpt_px is not None
    fit = _NO_FIT if fit is None else fit
    return PoseSample(
        image=crop.image,
        coarse=crop.coarse,
        fine=crop.fine,
        hand=MIRRORED_HAND[side] if crop.flip else side,
        row=record.row,
        keypoints_px=torch.from_numpy(keypoints_px),
        joints_rel_mm=torch.from_numpy(_masked(joints_rel_mm @ crop.rotation.T, valid)),
        joint_valid=torch.from_numpy(valid),
        joint_in_view=torch.from_numpy(valid & record.joint_in_view[side] & inside),
        mano_pose=_float32(fit.pose),
        mano_shape=_float32(fit.shape),
        mano_joints_rel_mm=_float32(fit.joints_rel_mm),
        mano_keypoints_px=_float32(fit.keypoints_px),
        mano_valid=fit is not _NO_FIT,
        wrist_depth_mm=_float32(_wrist_depth_mm(record, side, crop)),
        crop_camera=_float32(_camera(record, crop) if has_camera else np.zeros((3, 3))),
        has_camera=has_camera,
        image_from_crop=_float32(invert_affine(crop.affine)),
        camera_from_crop=_float32(crop.rotation.T),
        mirrored=crop.flip,
    )


_NO_FIT = MovedFit(np.zeros(48), np.zeros(10), np.zeros((21, 3)), np.zeros((21, 2)))


def _joints(record: HandRecord, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (21, 2), joints minus wrist (21, 3), mm, and validity (21,) in the image."""
    if record.joints_world_mm is None or record.princpt_px is None:
        return np.zeros((21, 2)), np.zeros((21, 3)), np.zeros(21, bool)
    return joints_in_view(
        record.joints_world_mm[side],
        record.joint_triangulated[side],
        R_cam_world=record.R_cam_world,
        camera_center_mm=record.camera_center_mm,
        focal_px=record.focal_px,
        princpt_px=record.princpt_px,
    )


def _camera(record: HandRecord, crop: HandCrop) -> np.ndarray:
    (fx, fy), (cx, cy) = record.focal_px.tolist(), record.princpt_px.tolist()
    intrinsics = np.array([[fx, 0.0, cx], [0.0, fy, cy]])
    return move_intrinsics(intrinsics, crop.affine, crop.rotation)


def _wrist_depth_mm(record: HandRecord, side: int, crop: HandCrop) -> float:
    known = record.joints_world_mm is not None and record.R_cam_world is not None
    if not (known and record.joint_triangulated[side, 0]):
        return float("nan")
    offset = record.joints_world_mm[side, 0] - record.camera_center_mm.astype(np.float64)
    return float(crop.rotation[2] @ record.R_cam_world.astype(np.float64) @ offset)


def _masked(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    kept = np.zeros(values.shape, np.float32)
    kept[valid] = values[valid]
    return kept


def _float32(values) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))


def _require_single_hands(index: HandIndex, rows: np.ndarray) -> None:
    others = np.flatnonzero(index.values("hand", rows) >= len(_SINGLE))
    if len(others):
        row = int(rows[others[0]])
        raise ValueError(
            f"Row {row} shows '{index.hand_of(row)}' ({len(others)} of {len(rows)} rows are not of "
            "one right or left hand). Select rows with hands=('right', 'left')."
        )


def _model_of(hand_models: Mapping[str, HandModel], side: str) -> HandModel:
    model = hand_models.get(side)
    if model is None or model.hand != side:
        found = "missing" if model is None else f"a {model.hand} hand"
        raise ValueError(
            f"hand_models['{side}'] is {found}; pass {{'right': load_hand_model('right'), "
            "'left': load_hand_model('left')}."
        )
    return model
