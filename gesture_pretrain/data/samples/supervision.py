"""Count the hands with joints, a MANO fit and a camera, which pose networks learn from."""

from typing import NamedTuple

import numpy as np

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS, unpack_flags


class Supervision(NamedTuple):
    """Counts over images of one hand each.

    Attributes:
        hands: Images.
        joints: Hands whose wrist and at least one other joint have a known 3D position.
        fits: Hands with a MANO fit.
        cameras: Images with a calibrated camera. Joints and fits are of no use without one.
        trainable: Hands with a camera and with joints or a fit.
    """

    hands: int
    joints: int
    fits: int
    cameras: int
    trainable: int

    def describe(self) -> str:
        """Return a one-line summary."""
        return (
            f"Of {self.hands:,} hands {self.joints:,} have 3D joints, {self.fits:,} a MANO fit and "
            f"{self.cameras:,} a camera."
        )

    def require_any(self, index: HandIndex) -> None:
        """Refuse data that nothing could be learned from.

        Raises:
            DataError: No hand has a camera and either joints or a fit.
        """
        if not self.trainable:
            raise DataError(
                f"{index.path}: no pose can be learned from these images. {self.describe()} At "
                "least one hand needs a camera, and joints or a fit; see docs/data.md."
            )


def count_supervision(index: HandIndex, rows: np.ndarray) -> Supervision:
    """Count what is annotated of the hands that images show; of two hands, one is enough."""
    steps, kinds = index.values("step", rows), index.values("hand", rows)
    both = HANDS.index("interacting")
    shown = np.stack([np.isin(kinds, (side, both)) for side in (0, 1)], axis=1)
    joints = (shown & _has_joints(index, steps)).any(1)
    fits = (shown & _has_fit(index, steps)).any(1)
    cameras = _has_camera(index, rows)
    trainable = cameras & (joints | fits)
    return Supervision(len(rows), *(int(x.sum()) for x in (joints, fits, cameras, trainable)))


def _has_joints(index: HandIndex, steps: np.ndarray) -> np.ndarray:
    """Return (N, 2) of the right and the left hand."""
    bits = index.columns.get("step_triangulated_bits")
    if bits is None:
        return np.zeros((len(steps), 2), bool)
    flags = unpack_flags(bits[steps])
    known = np.asarray(index.columns["step_has_joints"][steps], bool)
    return flags[..., 0] & flags[..., 1:].any(-1) & known[:, None]


def _has_fit(index: HandIndex, steps: np.ndarray) -> np.ndarray:
    """Return (N, 2) of the right and the left hand."""
    fits = index.columns.get("step_mano")
    return np.zeros((len(steps), 2), bool) if fits is None else fits[steps] >= 0


def _has_camera(index: HandIndex, rows: np.ndarray) -> np.ndarray:
    calibration = index.columns.get("calibration")
    return np.zeros(len(rows), bool) if calibration is None else calibration[rows] >= 0
