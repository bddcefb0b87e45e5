"""Find the 21 joints of a hand whose palm is known."""

import numpy as np

from adapters.detection.detected_hand import DetectedHand, box_of_landmarks
from adapters.detection.lite_network import LiteNetwork
from adapters.detection.palm_detector import Palm
from gesture_pretrain.geometry.crop import apply_affine, crop_affine, crop_rotation, invert_affine

_WRIST, _MIDDLE_KNUCKLE = 0, 2
# the square that the network was trained on: 2.6 palms wide, shifted by half a palm to the fingers
_SQUARE_PALMS, _SHIFT_PALMS = 2.6, 0.5


class HandLandmarks:
    """Predict joints, presence and handedness of a hand.

    Args:
        network: Landmark network. Its joints are those of mano21, in this order.
    """

    def __init__(self, network: LiteNetwork):
        self.network = network

    def __call__(self, image_rgb: np.ndarray, palm: Palm) -> DetectedHand:
        """Predict the hand of a palm in an image `(H, W, 3)` uint8, RGB."""
        square, rotation_deg = hand_square(palm)
        affine = crop_affine(square, self.network.size_px, rotation_deg=rotation_deg)
        joints, presence, right, world = self.network(image_rgb, affine, square[2])
        crop_px = joints.astype(np.float64).reshape(21, 3)[:, :2]
        landmarks_px = apply_affine(crop_px, invert_affine(affine))
        turned_m = world.astype(np.float64).reshape(21, 3)
        return DetectedHand(
            box_xyxy_px=box_of_landmarks(landmarks_px),
            handedness="right" if right[0] > 0.5 else "left",
            presence=float(presence[0]),
            landmarks_px=landmarks_px,
            landmarks_world_m=turned_m @ crop_rotation(rotation_deg=rotation_deg),
        )


def hand_square(palm: Palm) -> tuple[np.ndarray, float]:
    """Compute the square around the hand of a palm, in which the fingers point up.

    Returns:
        Unrotated square `(4,)` xywh in image pixels, and its rotation in degrees, clockwise.
    """
    to_fingers = palm.keypoints_px[_MIDDLE_KNUCKLE] - palm.keypoints_px[_WRIST]
    direction = to_fingers / max(np.linalg.norm(to_fingers), 1e-6)
    low, high = palm.box_xyxy_px.reshape(2, 2)
    palm_px = max(high - low)
    centre = (low + high) / 2 + _SHIFT_PALMS * palm_px * direction
    side = _SQUARE_PALMS * palm_px
    rotation_deg = float(np.degrees(np.arctan2(direction[0], -direction[1])))
    return np.array([*(centre - side / 2), side, side]), rotation_deg
