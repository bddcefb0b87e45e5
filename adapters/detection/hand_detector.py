"""Find the hands in an image."""

import numpy as np
import torch
from torchvision.ops import nms

from adapters.detection.detected_hand import DetectedHand
from adapters.detection.hand_landmarks import HandLandmarks
from adapters.detection.lite_network import LiteNetwork
from adapters.detection.palm_detector import PalmDetector

SMALLEST_IMAGE_PX = 32
_SAME_HAND_IOU = 0.5
# The palm network misses hands that fill the image. While no hand is found, the image is searched
# with a wider margin, in which it is smaller.
_MARGINS = (1.0, 1.5, 2.0)


class HandDetector:
    """Find hands with the palm and landmark networks of MediaPipe Hands, on the CPU.

    The palm network proposes palms. The landmark network finds the joints of each, and the
    probability that there is a hand: this removes most false palms.

        hands = HandDetector()(image_rgb)

    Args:
        least_presence: Smallest `presence` of a hand, from 0 to 1. MediaPipe's is 0.5; on true
            hands it is rarely below 0.95, on other objects rarely above 0.9.
        threads: Number of CPU threads.

    Raises:
        ModuleNotFoundError: The extra `detect` is not installed.
        WeightFileError: The file of a network is damaged.
    """

    def __init__(self, *, least_presence: float = 0.9, threads: int = 1):
        self.least_presence = least_presence
        self.palms = PalmDetector(LiteNetwork("palm_detection_full", threads=threads))
        self.landmarks = HandLandmarks(LiteNetwork("hand_landmark_full", threads=threads))

    def __call__(self, image_rgb: np.ndarray) -> list[DetectedHand]:
        """Find the hands in an image, those with the highest presence first.

        Args:
            image_rgb: `(H, W, 3)` uint8, RGB. Sides of at least 32 pixels.

        Returns:
            The hands; none if there are none. Of two that overlap by half, one is kept.

        Raises:
            TypeError, ValueError: The image has another type or shape, or is too small.
        """
        require_image(image_rgb, "the image")
        height, width = image_rgb.shape[:2]
        if min(height, width) < SMALLEST_IMAGE_PX:
            raise ValueError(
                f"The image has {width} x {height} pixels. Hands are found in images with sides "
                f"of at least {SMALLEST_IMAGE_PX} pixels."
            )
        searches = (self._search(image_rgb, margin) for margin in _MARGINS)
        return next((hands for hands in searches if hands), [])

    def _search(self, image_rgb: np.ndarray, margin: float) -> list[DetectedHand]:
        palms = self.palms(image_rgb, margin=margin)
        hands = [self.landmarks(image_rgb, palm) for palm in palms]
        hands = [hand for hand in hands if hand.presence >= self.least_presence]
        if not hands:
            return []
        boxes = torch.from_numpy(np.stack([hand.box_xyxy_px for hand in hands]))
        presence = torch.tensor([hand.presence for hand in hands], dtype=boxes.dtype)
        return [hands[i] for i in nms(boxes, presence, _SAME_HAND_IOU).tolist()]


def require_image(image: np.ndarray, name: str) -> None:
    """Raise unless an image is RGB in bytes; `name` is its name in the message.

    Raises:
        TypeError: It is not a numpy array of uint8.
        ValueError: It is not `(H, W, 3)`, or empty.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = getattr(image, "dtype", type(image).__name__)
        raise TypeError(
            f"{name} is {found}; it must be a numpy array of uint8. "
            "gesture_pretrain.data.images.read_image_rgb converts files of any depth."
        )
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"{name} has shape {image.shape}; it must be (H, W, 3), RGB. "
            "gesture_pretrain.data.images.read_image_rgb converts grey and RGBA files."
        )
