"""Hands with annotations, and the two systems that are compared on them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapters.prediction.detected_boxes import Detector, overlap
from adapters.prediction.hand_boxes import box_of_detected
from adapters.prediction.hand_estimator import HandEstimator
from adapters.prediction.intrinsics import Intrinsics

_SAME_HAND = 0.1  # least intersection over union of a detected and an annotated box


class AnnotatedHand(NamedTuple):
    """One hand of an image.

    Attributes:
        name: Name of the image.
        image_rgb: `(H, W, 3)` uint8.
        box_xywh_px: `(4,)` annotated box.
        hand: "right" or "left"; None if not annotated.
        keypoints_px: `(21, 2)`, mano21 order; NaN where not annotated.
        joints_cam_mm: `(21, 3)`, camera frame; None if not annotated.
        camera: Camera of the image; None if not known.
    """

    name: str
    image_rgb: np.ndarray
    box_xywh_px: np.ndarray
    hand: str | None
    keypoints_px: np.ndarray
    joints_cam_mm: np.ndarray | None = None
    camera: Intrinsics | None = None


class Prediction(NamedTuple):
    """A system's prediction of an annotated hand.

    Attributes:
        hand: "right" or "left".
        keypoints_px: `(21, 2)`.
        joints_mm: `(21, 3)` axes of the camera, any origin.
    """

    hand: str
    keypoints_px: np.ndarray
    joints_mm: np.ndarray


def detected(detector: Detector, case: AnnotatedHand) -> Prediction | None:
    """Return MediaPipe's hand that overlaps most with the annotated box; None if none does."""
    hands = detector(case.image_rgb)
    overlaps = [overlap(box_of_detected(hand).box_xywh_px, case.box_xywh_px) for hand in hands]
    if max(overlaps, default=0.0) < _SAME_HAND:
        return None
    hand = hands[int(np.argmax(overlaps))]
    return Prediction(hand.handedness, hand.landmarks_px, 1000 * hand.landmarks_world_m)


def estimated(
    estimator: HandEstimator, cases: Sequence[AnnotatedHand], hands: Sequence[str | None]
) -> list[Prediction]:
    """Return the network's predictions in the annotated boxes.

    Args:
        estimator: The network.
        cases: Annotated hands.
        hands: Handedness of each; None where the network's gesture heads decide.
    """
    images, boxes = [case.image_rgb for case in cases], [case.box_xywh_px for case in cases]
    cameras = [case.camera for case in cases]
    found = estimator.predict(images, boxes, list(hands), cameras)
    return [Prediction(hand.hand, hand.keypoints_px, hand.joints_rel_mm) for hand in found]


def handedness(
    case: AnnotatedHand, other: Prediction | None, estimator: HandEstimator
) -> str | None:
    """Return the annotated handedness, else the detected one, as `predict` uses it.

    Without either it is None if the network's gesture heads can decide, else "right".
    """
    if case.hand is not None:
        return case.hand
    if other is not None:
        return other.hand
    return None if estimator.tells_sides() else "right"
