"""Boxes from the hand detector: of single images, and followed through a video.

boxes = DetectedBoxes(HandDetector())
boxes = TrackedBoxes(HandDetector())
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torchvision.ops import box_convert, box_iou

from adapters.detection import DetectedHand
from adapters.detection.detected_hand import BOX_RATIO
from adapters.prediction.hand_boxes import HandBox, box_of_detected
from adapters.prediction.hand_estimator import HandEstimate
from adapters.prediction.image_source import SeenImage
from gesture_pretrain.geometry.boxes import tight_box

DETECT_EVERY = 10  # frames between two detections
LEAST_OVERLAP = 0.3  # intersection over union of a hand's box and the box of its joints
MISSES = 2  # detections in a row without a hand, after which it is lost

Detector = Callable[[np.ndarray], list[DetectedHand]]


class DetectedBoxes:
    """Detect the hands in each image.

    Args:
        detector: Returns the hands of an image `(H, W, 3)`, uint8 RGB.
        hand: Handedness of all hands; None for the detector's.
    """

    at_once = None
    nothing = "no detected hand"

    def __init__(self, detector: Detector, *, hand: str | None = None):
        self.detector, self.hand = detector, hand

    def find(self, seen: SeenImage) -> list[HandBox]:
        """Return the boxes of an image.

        Raises:
            ValueError: The image is too small for the detector.
        """
        found = [box_of_detected(hand) for hand in self.detector(seen.image_rgb)]
        return [box._replace(hand=self.hand or box.hand) for box in found]

    def follow(self, boxes: Sequence[HandBox], hands: Sequence[HandEstimate]) -> None:
        """Ignore the estimates: every image is independent."""


class TrackedBoxes(DetectedBoxes):
    """Detect hands once, then use the box of their joints in the previous frame.

    Hands are detected again when a hand was lost, and after every `DETECT_EVERY` frames. A hand is
    lost if its joints do not overlap with its box, if they leave the image, or if `MISSES`
    detections in a row did not find it.

    Args:
        detector, hand: See `DetectedBoxes`.
    """

    at_once = 1  # a box depends on the estimates of the frame before

    def __init__(self, detector: Detector, *, hand: str | None = None):
        super().__init__(detector, hand=hand)
        self._followed: list[HandBox] = []
        self._missed: dict[int, int] = {}
        self._frames_to_detection = self._tracks = 0

    def find(self, seen: SeenImage) -> list[HandBox]:
        """Return the boxes of the next frame."""
        self._size_wh = seen.image_rgb.shape[1::-1]
        if not self._followed or self._frames_to_detection == 0:
            self._detect(seen)
            self._frames_to_detection = DETECT_EVERY
        self._frames_to_detection -= 1
        return self._followed

    def follow(self, boxes: Sequence[HandBox], hands: Sequence[HandEstimate]) -> None:
        """Place the boxes of the next frame around the joints of this one."""
        followed = []
        for box, hand in zip(boxes, hands, strict=True):
            moved = tight_box(hand.keypoints_px, ratio=BOX_RATIO)
            centre = moved[:2] + moved[2:] / 2
            inside = (centre >= 0).all() and (centre < self._size_wh).all()
            if inside and overlap(moved, box.box_xywh_px) >= LEAST_OVERLAP:
                followed.append(box._replace(box_xywh_px=tuple(moved)))
        if len(followed) < len(self._followed):
            self._frames_to_detection = 0
        self._followed = followed

    def _detect(self, seen: SeenImage) -> None:
        old, new = list(self._followed), []
        for found in super().find(seen):
            overlaps = [overlap(box.box_xywh_px, found.box_xywh_px) for box in old]
            if max(overlaps, default=0.0) >= LEAST_OVERLAP:
                same = old.pop(int(np.argmax(overlaps)))
                new.append(found._replace(track=same.track, hand=same.hand))
            else:
                self._tracks += 1
                new.append(found._replace(track=self._tracks))
        missed = {box.track: self._missed.get(box.track, 0) + 1 for box in old}
        self._missed = {track: count for track, count in missed.items() if count < MISSES}
        self._followed = new + [box for box in old if box.track in self._missed]


def overlap(first_xywh_px: Sequence[float], second_xywh_px: Sequence[float]) -> float:
    """Compute the intersection over union of two boxes."""
    boxes = torch.tensor(np.array([first_xywh_px, second_xywh_px], np.float64))
    first, second = box_convert(boxes, "xywh", "xyxy").split(1)
    return box_iou(first, second).item()
