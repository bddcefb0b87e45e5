"""Landmarks of MediaPipe Hands on a dataset, as a predictions file of another system.

`pose evaluate` reads the file, see `gesture_pretrain.evaluation.external.predictions`: joints in
metres, camera axes, mano21 order. It moves the wrist to the origin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import box_iou
from tqdm import tqdm

from adapters.detection.detected_hand import DetectedHand
from adapters.detection.hand_detector import HandDetector
from gesture_pretrain.data.images import read_image_rgb
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HandRecord
from gesture_pretrain.files.npz_file import write_npz
from gesture_pretrain.skeleton import HANDS


@dataclass(frozen=True)
class DatasetLandmarks:
    """The N hands that were found in the images of a dataset.

    Attributes:
        rows: `(N,)` int64, rows of the index.
        hand: `(N,)` int64, 0 right, 1 left: as annotated if the image shows one hand, else as
            detected.
        joints_m: `(N, 21, 3)` float32, `DetectedHand.landmarks_world_m`.
        same_side: `(N,)` bool, whether `hand` was detected.
    """

    rows: np.ndarray
    hand: np.ndarray
    joints_m: np.ndarray
    same_side: np.ndarray

    def save(self, path: Path) -> None:
        """Write an .npz file.

        Raises:
            WriteFailed: Writing to disk failed.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        stated = {
            "system": "MediaPipe Hands",
            "box_source": "MediaPipe's palm detector on the whole image",
            "joint_order": "mano21",
            "unit": "m",
        }
        hands = {"row": self.rows, "hand": self.hand, "joints": self.joints_m}
        write_npz(path, stated | hands)


def find_dataset_landmarks(
    index: HandIndex, rows: Sequence[int], detector: HandDetector, *, progress: bool = True
) -> DatasetLandmarks:
    """Find the hands in images of a dataset.

    Args:
        index: Index of the dataset.
        rows: Rows of the images.
        detector: Finds the hands; it sees whole images.
        progress: Show a progress bar.

    Raises:
        ValueError: No hand was found in any image.
        DataError: An image cannot be read.
    """
    found = []
    for row in tqdm([int(row) for row in rows], unit="image", disable=not progress):
        record = index.record(row)
        hands = detector(read_image_rgb(record.image_path, row))
        found += [(row, side, hand) for side, hand in hands_of_image(hands, record).items()]
    if not found:
        raise ValueError(
            f"No hand was found in {len(rows)} images of {index.path}. Look at the images: the "
            "detector misses small hands and very dark ones."
        )
    return DatasetLandmarks(
        rows=np.array([row for row, _, _ in found], np.int64),
        hand=np.array([HANDS.index(side) for _, side, _ in found], np.int64),
        joints_m=np.float32([hand.landmarks_world_m for _, _, hand in found]),
        same_side=np.array([side == hand.handedness for _, side, hand in found]),
    )


def hands_of_image(hands: list[DetectedHand], record: HandRecord) -> dict[str, DetectedHand]:
    """Choose at most one detected hand for each side of an image.

    An image that shows one hand gets the detection closest to the annotated box, and the annotated
    handedness, which other systems are given, too. Otherwise, the detected handedness counts.

    Args:
        hands: Detected hands, those with the highest presence first.
        record: Annotation of the image.
    """
    if record.hand not in HANDS:
        return {hand.handedness: hand for hand in reversed(hands)}
    return {record.hand: _closest(hands, record.bbox_xywh_px)} if hands else {}


def _closest(hands: list[DetectedHand], box_xywh_px: np.ndarray | None) -> DetectedHand:
    if box_xywh_px is None:
        return hands[0]
    annotated = np.float64([*box_xywh_px[:2], *(box_xywh_px[:2] + box_xywh_px[2:])])
    boxes = np.stack([hand.box_xyxy_px for hand in hands])
    overlaps = box_iou(torch.from_numpy(boxes), torch.from_numpy(annotated[None]))
    return hands[int(overlaps.argmax())]
