"""Boxes from the detector, and hands that are followed through a video."""

import numpy as np
import pytest

from adapters.detection import DetectedHand
from adapters.prediction.detected_boxes import (
    DETECT_EVERY,
    DetectedBoxes,
    TrackedBoxes,
    overlap,
)
from adapters.prediction.hand_estimator import HandEstimate
from adapters.prediction.image_source import SeenImage


def detected(x: float, y: float, *, hand: str = "right", side: float = 100.0) -> DetectedHand:
    box = np.array([x, y, x + side, y + side])
    return DetectedHand(box, hand, 0.9, np.zeros((21, 2)), np.zeros((21, 3)))


def estimated(x: float, y: float, *, side: float = 100.0) -> HandEstimate:
    """A hand whose joints fill a box of `side` px, with the margin of the boxes."""
    corners = np.array([x, y]) + side / 2 * (1 + np.array([[-1, -1], [1, 1]]) / 1.2)
    keypoints = np.linspace(*corners, 21)
    rest = {name: None for name in HandEstimate._fields}
    return HandEstimate(**{**rest, "hand": "right", "keypoints_px": keypoints})


class Detector:
    """Return the planned hands, call by call, and count the calls."""

    def __init__(self, *plans):
        self.plans, self.calls = list(plans), 0

    def __call__(self, image_rgb):
        self.calls += 1
        return self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]


def frame(number: int) -> SeenImage:
    return SeenImage("v.mp4", np.zeros((480, 640, 3), np.uint8), number)


def follow(boxes: TrackedBoxes, number: int, *places) -> list:
    found = boxes.find(frame(number))
    boxes.follow(found, [estimated(*place) for place in places[: len(found)]])
    return found


def test_each_image_is_detected_and_the_users_handedness_wins():
    boxes = DetectedBoxes(Detector([detected(10, 20, hand="left")]))
    (box,) = boxes.find(frame(0))
    assert box.box_xywh_px == (10, 20, 100, 100) and (box.hand, box.presence) == ("left", 0.9)
    (box,) = DetectedBoxes(boxes.detector, hand="right").find(frame(0))
    assert box.hand == "right"


def test_a_hand_is_followed_without_detection():
    detector = Detector([detected(100, 100)])
    boxes = TrackedBoxes(detector)
    seen = [follow(boxes, i, (100 + 20 * i, 100))[0] for i in range(10)]
    assert detector.calls == 1 and {box.track for box in seen} == {1}
    assert seen[9].box_xywh_px == pytest.approx((100 + 20 * 8, 100, 100, 100))


def test_hands_are_detected_again_after_some_frames():
    detector = Detector([detected(0, 0)], [detected(5, 5), detected(300, 300)])
    boxes = TrackedBoxes(detector)
    for i in range(DETECT_EVERY):
        assert [box.track for box in follow(boxes, i, (0, 0))] == [1]
    assert [box.track for box in boxes.find(frame(DETECT_EVERY))] == [1, 2]


@pytest.mark.parametrize("place", [(350, 300), (-90, 0)], ids=["elsewhere", "outside"])
def test_a_lost_hand_is_detected_again_and_is_another_track(place):
    detector = Detector([detected(0, 0)], [], [detected(200, 200)])
    boxes = TrackedBoxes(detector)
    follow(boxes, 0, place)
    assert follow(boxes, 1) == []
    assert [box.track for box in follow(boxes, 2, (200, 200))] == [2]
    assert detector.calls == 3


def test_a_hand_that_detections_miss_twice_ends(monkeypatch):
    monkeypatch.setattr("adapters.prediction.detected_boxes.DETECT_EVERY", 1)
    detector = Detector([detected(0, 0)], [])
    boxes = TrackedBoxes(detector)
    assert [len(follow(boxes, i, (0, 0))) for i in range(4)] == [1, 1, 0, 0]


def test_overlap_of_boxes():
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (20, 0, 10, 10)) == 0
