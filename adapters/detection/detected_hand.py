"""The result of hand detection."""

from dataclasses import dataclass

import numpy as np

from gesture_pretrain.geometry.boxes import tight_box

# Boxes of InterHand2.6M, with which the networks are trained, are 1.2 times the joints' tight box
BOX_RATIO = 1.2


@dataclass(frozen=True, eq=False)
class DetectedHand:
    """A hand that was found in an image.

    Attributes:
        box_xyxy_px: `(4,)` float64, x and y of the upper left and of the lower right corner: 1.2
            times the tight box of the landmarks, the margin of InterHand2.6M's boxes. It may
            extend beyond the image.
        handedness: "right" or "left".
        presence: Probability that there is a hand, from 0 to 1.
        landmarks_px: `(21, 2)` float64, joints in image pixels, mano21 order.
        landmarks_world_m: `(21, 3)` float64, joints in metres about the centre of the hand, axes
            of the camera (x right, y down, z away), mano21 order.
    """

    box_xyxy_px: np.ndarray
    handedness: str
    presence: float
    landmarks_px: np.ndarray
    landmarks_world_m: np.ndarray


def box_of_landmarks(landmarks_px: np.ndarray) -> np.ndarray:
    """Compute the box of a hand, `(4,)` xyxy, from its landmarks `(21, 2)`."""
    x, y, width, height = tight_box(landmarks_px, ratio=BOX_RATIO)
    return np.array([x, y, x + width, y + height])
