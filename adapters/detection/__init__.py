"""Hands in whole images: boxes, handedness and landmarks, by the networks of MediaPipe Hands."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "DetectedHand": "adapters.detection.detected_hand",
        "HandDetector": "adapters.detection.hand_detector",
    },
)
