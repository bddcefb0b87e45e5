"""The loader: rows of an index -> crops with gesture classes and joints, ready for a DataLoader.

A sample depends on (seed, epoch, row) only. It does not depend on the worker that makes it, on the
order of the samples, or on the other rows of the dataset.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from gesture_pretrain.data.errors import DataError
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.record import HANDS, HandRecord
from gesture_pretrain.data.transforms import (
    LEFT,
    NO_SIDE,
    RIGHT,
    Augmentation,
    HandView,
    Motion,
    augmentation_stream,
    move_view,
)
from gesture_pretrain.geometry import project_px, square_box, world_to_camera_mm
from gesture_pretrain.taxonomy import Taxonomy

_SIDE = {"right": RIGHT, "left": LEFT}


class HandSample(NamedTuple):
    """One crop (or, collated, a batch of B of them with a leading axis B).

    Attributes:
        image: (3, S, S) uint8, RGB.
        coarse, fine: gesture classes, -1 where the image has none.
        hand: 0 right, 1 left, -1 unknown or two hands; of the crop, that is after a flip.
        keypoints_px: (21, 2) float32, joints in crop pixels, mano21 order; 0 where not valid.
        joints_rel_mm: (21, 3) float32, joints minus wrist in the camera frame of the crop; 0 where
            not valid.
        joint_valid: (21,) bool, the joint and the wrist were triangulated. A valid joint may lie
            outside of the crop.
        row: row of the index.
    """

    image: torch.Tensor
    coarse: int
    fine: int
    hand: int
    keypoints_px: torch.Tensor
    joints_rel_mm: torch.Tensor
    joint_valid: torch.Tensor
    row: int


class GestureDataset(Dataset):
    """Crops of an index's rows with the classes that a taxonomy gives them.

    `dataset[position]` is the sample of epoch 0; `dataset[epoch, position]`, which is what
    `EpochBatchSampler` asks for, augments anew in every epoch.

    The crop is the square of side ``box_ratio * max(w, h)`` about the annotated box; an image
    without a box is shown whole, with black bars. Pixels outside of the image are black.

    Args:
        index: the data.
        rows: (N,) rows of the index to use.
        taxonomy: classes of the labels, maybe a control variant.
        size_px: side of the crops (S).
        augmentation: random motion; None for none.
        seed: key of the augmentation.
        box_ratio: side of the crop over the longer side of the annotated box.
        strict_labels: refuse unexpected labels, see `Taxonomy.assign`.
        announce: is handed the lines of `describe`; None for silence.

    Attributes:
        coarse, fine: (N,) int64 classes, -1 where masked.
        label_report: how many images have a class and why the others do not.

    Raises:
        ValueError: a row is not in the index, or `strict_labels` and an unexpected label.
    """

    def __init__(
        self,
        index: HandIndex,
        rows: Sequence[int],
        taxonomy: Taxonomy,
        size_px: int,
        *,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        box_ratio: float = 1.25,
        strict_labels: bool = False,
        announce: Callable[[str], object] | None = print,
    ):
        self.index = index
        self.rows = _checked_rows(rows, len(index))
        self.taxonomy = taxonomy
        self.size_px = size_px
        self.augmentation = augmentation
        self.seed = seed
        self.box_ratio = box_ratio
        self.coarse, self.fine, self.label_report = taxonomy.assign_codes(
            index.values("sequence", self.rows),
            index.labels,
            index.values("hand", self.rows),
            HANDS,
            rows=self.rows,
            strict=strict_labels,
        )
        if announce is not None:
            announce(self.describe())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> HandSample:
        """The sample at a position, or at (epoch, position).

        Raises:
            DataError: the image is missing, unreadable, or of another size than annotated.
        """
        epoch, position = key if isinstance(key, tuple) else (0, key)
        row = int(self.rows[position])
        view = self.view(position)
        moved = move_view(
            view, self._motion(epoch, row), size_px=self.size_px, taxonomy=self.taxonomy
        )
        return _to_sample(moved, row)

    def view(self, position: int) -> HandView:
        """The whole image at a position with everything that `move_view` will move."""
        record = self.index.record(int(self.rows[position]))
        image = read_image_rgb(record.image_path, record.row)
        return view_of_record(
            record,
            image,
            box_ratio=self.box_ratio,
            coarse=int(self.coarse[position]),
            fine=int(self.fine[position]),
        )

    def describe(self) -> str:
        """What is labelled, what is masked and why, and whether crops can be mirrored."""
        text = f"Labels by taxonomy {self.taxonomy.name}: {self.label_report}"
        if self.augmentation is None or not self.augmentation.flip or self.taxonomy.has_flip:
            return text
        undefined = sum(mirror is None for mirror in self.taxonomy.fine_flip)
        return (
            f"{text}\nNo flip for {undefined} of {self.taxonomy.num_fine} fine classes: the "
            "taxonomy does not say which class their mirror image has (column `flip`)."
        )

    def _motion(self, epoch: int, row: int) -> Motion:
        if self.augmentation is None:
            return Motion()
        return self.augmentation.draw(augmentation_stream(self.seed, epoch, row))


def without_opencv_threads(worker_id: int) -> None:
    """`worker_init_fn` of a DataLoader: as many workers as cores need no threads of OpenCV's.

    0 switches its threads off. 1 would resize a pool whose threads did not survive the fork, and
    wait for them for ever.
    """
    cv2.setNumThreads(0)


def read_image_rgb(path: Path, row: int) -> np.ndarray:
    """Decodes a picture to (H, W, 3) uint8 RGB.

    OpenCV's colour mode does the rest: grey becomes three equal channels, alpha is dropped, 16 bits
    are reduced to 8, and a rotation in the EXIF data is applied.

    Raises:
        DataError: the file is missing or not a picture; names path and row.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(_why_unreadable(Path(path), row))
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _why_unreadable(path: Path, row: int) -> str:
    if not path.is_file():
        return (
            f"Image of row {row} does not exist: {path}. Was the data set moved? "
            "tools/prepare_data.py verify lists all missing images."
        )
    return (
        f"Image of row {row} is not a readable picture: {path} ({path.stat().st_size} bytes). "
        "tools/prepare_data.py verify lists all such images; fetch them again or leave them out."
    )


def view_of_record(
    record: HandRecord, image_rgb: np.ndarray, *, box_ratio: float, coarse: int, fine: int
) -> HandView:
    """Joins a record's annotation with its image and classes.

    Raises:
        DataError: the image is of another size than the annotation says.
    """
    height, width = image_rgb.shape[:2]
    joints = {}
    if record.bbox_xywh_px is None:
        box = square_box([0, 0, width, height])
    else:
        _check_size(record, width, height)
        box = square_box(record.bbox_xywh_px, box_ratio)
        joints = _joints_of_record(record)
    return HandView(
        image_rgb=image_rgb,
        box_xywh_px=box,
        hand=_SIDE.get(record.hand, NO_SIDE),
        coarse=coarse,
        fine=fine,
        **joints,
    )


def _joints_of_record(record: HandRecord) -> dict[str, np.ndarray]:
    """Fields of a `HandView`: camera, and the joints of the one annotated hand where known."""
    if record.princpt_px is None:
        return {}
    (fx, fy), (cx, cy) = record.focal_px.tolist(), record.princpt_px.tolist()
    camera = {"intrinsics": np.array([[fx, 0.0, cx], [0.0, fy, cy]])}
    if record.joints_world_mm is None or record.hand not in _SIDE:
        return camera
    side = _SIDE[record.hand]
    valid = record.joint_triangulated[side]
    joints_cam_mm = world_to_camera_mm(
        np.where(valid[:, None], record.joints_world_mm[side], 0),
        record.R_cam_world,
        record.camera_center_mm,
    )
    return {
        **camera,
        "keypoints_px": project_px(joints_cam_mm, record.focal_px, record.princpt_px),
        "joints_rel_mm": joints_cam_mm - joints_cam_mm[0],
        # without a wrist nothing is relative to it; behind the camera nothing has a pixel
        "joint_valid": valid & valid[0] & (joints_cam_mm[:, 2] > 0),
    }


def _to_sample(view: HandView, row: int) -> HandSample:
    valid = view.joint_valid
    keypoints_px = np.zeros((21, 2), np.float32)
    keypoints_px[valid] = view.keypoints_px[valid]
    joints_rel_mm = np.zeros((21, 3), np.float32)
    joints_rel_mm[valid] = view.joints_rel_mm[valid]
    return HandSample(
        image=torch.from_numpy(channels_first(view.image_rgb)),
        coarse=view.coarse,
        fine=view.fine,
        hand=view.hand,
        keypoints_px=torch.from_numpy(keypoints_px),
        joints_rel_mm=torch.from_numpy(joints_rel_mm),
        joint_valid=torch.from_numpy(valid.copy()),
        row=row,
    )


def channels_first(image_rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> contiguous (3, H, W); OpenCV's split is several times as fast as a transpose."""
    planes = np.empty((3, *image_rgb.shape[:2]), np.uint8)
    cv2.split(image_rgb, list(planes))
    return planes


def _check_size(record: HandRecord, width: int, height: int) -> None:
    if (width, height) != tuple(record.image_size_wh):
        raise DataError(
            f"Image of row {record.row} is {width} x {height} px, but its annotation says "
            f"{record.image_size_wh[0]} x {record.image_size_wh[1]}: {record.image_path}. Are "
            "images and annotations of one release?"
        )


def _checked_rows(rows: Sequence[int], size: int) -> np.ndarray:
    rows = np.asarray(rows, np.int64)
    outside = rows[(rows < 0) | (rows >= size)]
    if len(outside):
        raise ValueError(f"Row {outside[0]} is not in the index, which has rows 0 .. {size - 1}.")
    return rows
