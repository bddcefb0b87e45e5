"""Smoothing of hands over time with the one-euro filter (Casiez, Roussel and Vogel, CHI 2012).

The filter is a low-pass filter whose cutoff frequency rises with the speed: hands at rest do not
jitter, and moving hands do not lag.
"""

import numpy as np

from adapters.prediction.hand_estimator import HandEstimate, fit_image_from_mm
from adapters.prediction.image_hands import ImageHands

CUTOFF_HZ = 1.0  # cutoff frequency at rest, and that of the speed
PER_SPEED = 0.02  # increase of the cutoff frequency, Hz per mm/s


class OneEuroFilter:
    """Smooth an array over time.

    Args:
        per_speed: Increase of the cutoff frequency, in Hz, per unit and second.
    """

    def __init__(self, per_speed: float):
        self.per_speed = per_speed
        self._value = self._speed = None

    def __call__(self, value: np.ndarray, seconds: float) -> np.ndarray:
        """Return the smoothed value, `seconds` after the previous one."""
        if self._value is None:
            self._value, self._speed = value, np.zeros_like(value)
            return value
        speed = (value - self._value) / seconds
        self._speed = self._speed + _weight(CUTOFF_HZ, seconds) * (speed - self._speed)
        cutoff_hz = CUTOFF_HZ + self.per_speed * np.abs(self._speed)
        self._value = self._value + _weight(cutoff_hz, seconds) * (value - self._value)
        return self._value


class HandSmoother:
    """Smooth the hands of a video: joints, keypoints and vertices.

    `mano_pose` and `mano_shape` remain those of the single frame.

    Args:
        frames_per_s: Frame rate.
    """

    def __init__(self, frames_per_s: float):
        self.seconds = 1 / frames_per_s
        self._filters: dict[object, dict[str, OneEuroFilter]] = {}

    def __call__(self, hands: dict[object, HandEstimate]) -> dict[object, HandEstimate]:
        """Smooth the hands of the next frame, by the key of their track.

        A track that is absent from a frame begins again.
        """
        self._filters = {key: self._filters.get(key) or self._new(hands[key]) for key in hands}
        return {key: self._smoothed(self._filters[key], hand) for key, hand in hands.items()}

    def _new(self, hand: HandEstimate) -> dict[str, OneEuroFilter]:
        px_per_mm = max(float(hand.image_from_mm[0]), 1e-3)
        units = {"keypoints_px": px_per_mm, "joint_depth_rel_mm": 1.0}
        units |= {"joints_rel_mm": 1.0, "vertices_rel_mm": 1.0}
        return {name: OneEuroFilter(PER_SPEED / unit) for name, unit in units.items()}

    def _smoothed(self, filters: dict[str, OneEuroFilter], hand: HandEstimate) -> HandEstimate:
        values = {name: f(getattr(hand, name), self.seconds) for name, f in filters.items()}
        in_view = values["joints_rel_mm"] @ hand.camera_from_view
        placed = fit_image_from_mm(in_view, values["keypoints_px"])
        return hand._replace(**values, image_from_mm=placed)


def _weight(cutoff_hz: np.ndarray | float, seconds: float) -> np.ndarray | float:
    turns = 2 * np.pi * cutoff_hz * seconds
    return turns / (turns + 1)


def smoothed(result: ImageHands, smoother: HandSmoother | None) -> ImageHands:
    """Smooth the hands of a frame by their tracks; without a track by their place in the frame."""
    if smoother is None:
        return result
    keys = [(box.track, None if box.track else i) for i, box in enumerate(result.boxes)]
    hands = smoother(dict(zip(keys, result.hands, strict=True)))
    return result._replace(hands=list(hands.values()))
