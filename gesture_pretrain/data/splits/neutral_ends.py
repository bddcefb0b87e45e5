"""Neutral ends of gesture sequences: frames in which the hand does not show the gesture yet.

A recording of a gesture starts and ends in a neutral pose. Only the frame numbers say where an
image lies in its recording; poses and joints are not read.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.schema import section

MASK, WEIGHT = "mask", "weight"


@section
class NeutralEnds:
    """Treatment of the ends of each recording in training.

    Attributes:
        fraction: Length of each of the two ends as a fraction of the recording, in (0, 0.5).
        mode: "mask" leaves the images of the ends out. "weight" draws them less often: the weight
            rises linearly from 0 at the first and last frame to 1 at the inner edge of the end.
    """

    fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    mode: Literal[MASK, WEIGHT] = MASK

    def weights(self, index: HandIndex, rows: np.ndarray) -> np.ndarray:
        """Weight each image by its distance from the nearer end of its recording.

        Args:
            index: The data.
            rows: (N,) rows.

        Returns:
            (N,) float64 in [0, 1]; 0 or 1 if masked.
        """
        distance = distance_from_ends(index)[rows]
        if self.mode == MASK:
            return (distance >= self.fraction).astype(np.float64)
        return np.minimum(distance / self.fraction, 1.0)


def distance_from_ends(index: HandIndex) -> np.ndarray:
    """Return (N,) distance of every image from the nearer end of its recording, in [0, 0.5].

    A recording is a (split, subject, capture, sequence); its length is 1. The image of a recording
    with a single frame is at 0.5.

    Raises:
        ValueError: The index has no frame numbers.
    """
    frame = index.values("frame").astype(np.int64)
    if (frame < 0).all():
        raise ValueError(
            f"data.neutral_ends needs frame numbers, and {index.meta['data_name']} has none. Leave "
            "it out."
        )
    recording = _recordings(index)
    first = np.full(recording.max() + 1, np.iinfo(np.int64).max)
    last = np.full(recording.max() + 1, -1, np.int64)
    np.minimum.at(first, recording, frame)
    np.maximum.at(last, recording, frame)
    length = (last - first)[recording]
    nearest = np.minimum(frame - first[recording], last[recording] - frame)
    return np.where(length > 0, nearest / np.maximum(length, 1), 0.5)


def _recordings(index: HandIndex) -> np.ndarray:
    """Return (N,) number of the recording of every image, counted from 0."""
    names = ("split", "capture", "sequence", *(["subject"] if "subject" in index.columns else []))
    codes = [np.unique(index.values(name), return_inverse=True)[1] for name in names]
    combined = np.ravel_multi_index(codes, [code.max() + 1 for code in codes])
    return np.unique(combined, return_inverse=True)[1]
