"""Bounding boxes of the hands in a user's images."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from adapters.detection import DetectedHand
from adapters.prediction.image_source import SeenImage
from gesture_pretrain.names import first_few


class HandBox(NamedTuple):
    """A bounding box and the handedness of the hand in it.

    Attributes:
        box_xywh_px: x and y of the upper left corner, width and height, in pixels of the upright
            image; None for the whole image.
        hand: "right" or "left"; None if unknown.
        presence: Probability of a hand according to the detector; None without one.
        track: Number of the hand in a video, if it is followed.
    """

    box_xywh_px: tuple[float, ...] | None = None
    hand: str | None = None
    presence: float | None = None
    track: int | None = None


class HandBoxes:
    """The boxes of each image, from a file or the same for all; a `BoxSource`.

    Args:
        same: Box of every image, if there is no file.
        by_image: Boxes by (file name, frame); a frame of None means all frames.
        source: Name of the file in messages.
    """

    def __init__(
        self,
        same: HandBox | None = None,
        by_image: Mapping[tuple[str, int | None], Sequence[HandBox]] | None = None,
        source: str = "the boxes given",
    ):
        self.same, self.by_image, self.source = same or HandBox(), by_image, source
        self.nothing, self.at_once = f"no box in {source}", None

    def find(self, seen: SeenImage) -> list[HandBox]:
        """Return the boxes of an image; empty if the file has none."""
        return self.of(seen.name, seen.frame)

    def follow(self, boxes: Sequence[HandBox], hands: Sequence) -> None:
        """Ignore the estimates: the boxes are given."""

    def of(self, name: str, frame: int | None = None) -> list[HandBox]:
        """Return the boxes of an image or video frame; empty if the file has none."""
        if self.by_image is None:
            return [self.same]
        places = [(name, None)] if frame is None else [(name, frame), (name, None)]
        return [box for place in places for box in self.by_image.get(place, ())]

    def require_some(self, names: Sequence[str]) -> None:
        """Raise if no image has a box.

        Raises:
            ValueError: The file has no box for any of the images `names`.
        """
        if self.by_image is None:
            return
        boxed = sorted({name for name, _ in self.by_image})
        if not set(boxed) & set(names):
            raise ValueError(
                f"{self.source} has no box for any of the images: it names {first_few(boxed, 3)}; "
                f"the images are {first_few(sorted(names), 3)}. Names are compared without folders."
            )


def box_of_detected(hand: DetectedHand) -> HandBox:
    """Convert a detected hand to a box with its handedness."""
    low, high = np.split(np.asarray(hand.box_xyxy_px, np.float64), 2)
    return HandBox(tuple([*low, *(high - low)]), hand.handedness, presence=float(hand.presence))
