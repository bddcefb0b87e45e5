"""Estimate hands in images in batches; a fault of one image does not affect the others."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from adapters.prediction.hand_boxes import HandBox
from adapters.prediction.hand_crops import square_hand_box
from adapters.prediction.hand_estimator import HandEstimate, HandEstimator
from adapters.prediction.image_source import SeenImage


class BoxSource(Protocol):
    """Where the boxes come from: `HandBoxes`, `DetectedBoxes` or `TrackedBoxes`.

    Attributes:
        nothing: What an image without boxes lacks, for messages.
        at_once: Largest number of images whose boxes can be asked for before the estimates of the
            first are known; None for any number.
    """

    nothing: str
    at_once: int | None

    def find(self, seen: SeenImage) -> list[HandBox]:
        """Return the boxes of an image."""

    def follow(self, boxes: Sequence[HandBox], hands: Sequence[HandEstimate]) -> None:
        """Learn the estimates in the usable boxes of the latest image."""


class ImageHands(NamedTuple):
    """The hands of one image.

    Attributes:
        seen: The image.
        hands: One estimate per usable box, in the order of the boxes.
        boxes: The usable boxes.
        faults: Why the other boxes were not usable.
    """

    seen: SeenImage
    hands: list[HandEstimate]
    boxes: list[HandBox]
    faults: list[str]


def estimate_images(
    estimator: HandEstimator,
    images: Iterable[SeenImage],
    boxes: BoxSource,
    *,
    hand: str | None = None,
    batch_size: int = 16,
) -> Iterator[ImageHands]:
    """Estimate the hand in each box of each image.

    Args:
        estimator: The network.
        images: Images, read lazily, at most `batch_size` ahead.
        boxes: Bounding boxes of the hands.
        hand: Handedness for boxes that do not state it; None to predict it from the gestures.
        batch_size: Number of images read, and of hands computed, at a time.

    Yields:
        One result per image, in order. An invalid box is recorded as a fault of its image.

    Raises:
        ValueError: The handedness of a hand is unknown.
    """
    remaining = iter(images)
    while batch := list(islice(remaining, boxes.at_once or batch_size)):
        for result in _of_batch(estimator, batch, boxes, hand):
            boxes.follow(result.boxes, result.hands)
            yield result


def _of_batch(
    estimator: HandEstimator, batch: list[SeenImage], boxes: BoxSource, hand: str | None
) -> Iterator[ImageHands]:
    chosen = [_usable(seen, boxes, estimator.box_ratio) for seen in batch]
    images, squares, sides, cameras = [], [], [], []
    for seen, (usable, _) in zip(batch, chosen, strict=True):
        for box in usable:
            side = box.hand or hand
            _require_side(estimator, side, seen)
            images.append(seen.image_rgb)
            squares.append(box.box_xywh_px)
            sides.append(side)
            cameras.append(seen.camera)
    found = iter(estimator.predict(images, squares, sides, cameras))
    for seen, (usable, faults) in zip(batch, chosen, strict=True):
        yield ImageHands(seen, [next(found) for _ in usable], usable, faults)


def _usable(seen: SeenImage, boxes: BoxSource, box_ratio: float) -> tuple[list[HandBox], list[str]]:
    usable, faults = [], []
    try:
        found = boxes.find(seen)
    except ValueError as error:
        return [], [f"{title(seen)}: {error}"]
    for box in found:
        try:
            square_hand_box(
                seen.image_rgb, box.box_xywh_px, box_ratio=box_ratio, number=title(seen)
            )
        except ValueError as error:
            faults.append(str(error))
        else:
            usable.append(box)
    return usable, faults


def _require_side(estimator: HandEstimator, side: str | None, seen: SeenImage) -> None:
    if side is None and not estimator.tells_sides():
        raise ValueError(
            f"the handedness in {title(seen)} is unknown. Give `hand`, also in the file of "
            "boxes, or `gestures`, a network that predicts it."
        )


def title(seen: SeenImage) -> str:
    """Return an image's name for messages."""
    return seen.name if seen.frame is None else f"{seen.name}, frame {seen.frame}"
