"""A live view: the hands in front of a camera, drawn into a window."""

import os
import sys

import cv2
import numpy as np

from adapters.prediction.detected_boxes import TrackedBoxes
from adapters.prediction.hand_estimator import HandEstimator
from adapters.prediction.image_hands import ImageHands, estimate_images
from adapters.prediction.image_source import SeenImage, UnreadableInput
from adapters.prediction.one_euro import HandSmoother, smoothed
from adapters.prediction.prediction_writer import drawn_hands
from gesture_pretrain.report.hand_overlay import draw_joints

_WINDOW = "gesture-pretrain: q closes"
_FRAMES_PER_S = 30.0


def show_camera(
    estimator: HandEstimator, index: int, *, hand: str | None = None, smooth: bool = False
) -> int:
    """Show the joints of the hands in front of a camera until the key q is pressed.

    Args:
        estimator: The network.
        index: Number of the camera, from 0.
        hand: Handedness of all hands; None for the detector's.
        smooth: Smooth the joints over time.

    Returns:
        Number of frames shown.

    Raises:
        ValueError: There is no display.
        UnreadableInput: The camera cannot be opened.
    """
    require_display()
    boxes = TrackedBoxes(estimator.detector, hand=hand)
    smoother = HandSmoother(_FRAMES_PER_S) if smooth else None
    shown = 0
    try:
        for result in estimate_images(estimator, _frames(index), boxes):
            cv2.imshow(_WINDOW, _drawn(smoothed(result, smoother), estimator)[..., ::-1])
            shown += 1
            if cv2.waitKey(1) & 0xFF == ord("q"):
                break
    finally:
        cv2.destroyAllWindows()
    return shown


def require_display() -> None:
    """Raise unless a window can be opened.

    Raises:
        ValueError: There is no display, or OpenCV was built without windows.
    """
    variables = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not any(map(os.environ.get, variables)):
        raise ValueError(
            "The live view needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set. "
            "Record a video and pass its file instead."
        )
    if "GUI:                           NONE" in cv2.getBuildInformation():
        raise ValueError(
            "The live view needs windows, and this OpenCV was built without them. Install "
            "opencv-python instead of opencv-python-headless."
        )


def _frames(index: int):
    capture = cv2.VideoCapture(index)
    if not capture.isOpened():
        raise UnreadableInput(f"The camera {index} cannot be opened. The first camera is 0.")
    try:
        number = 0
        while (read := capture.read())[0]:
            image_rgb = np.ascontiguousarray(read[1][..., ::-1])
            yield SeenImage(f"camera {index}", image_rgb, number)
            number += 1
    finally:
        capture.release()


def _drawn(result: ImageHands, estimator: HandEstimator) -> np.ndarray:
    faces = {side: model.faces for side, model in estimator.hand_models.items()}
    return draw_joints(result.seen.image_rgb, drawn_hands(result.hands, faces))
