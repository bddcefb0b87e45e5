"""Estimate hands in images in batches; a fault of one image does not affect the others."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from adapters.prediction.hand_boxes import HandBox, HandBoxes
from adapters.prediction.hand_crops import square_hand_box
from adapters.prediction.hand_estimator import HandEstimate, HandEstimator
from adapters.prediction.picture_source import SeenPicture


class PictureHands(NamedTuple):
    """The hands of one image.

    Attributes:
        picture: The image.
        hands: One estimate per usable box, in the order of the boxes.
        faults: Why the other boxes were not usable.
    """

    picture: SeenPicture
    hands: list[HandEstimate]
    faults: list[str]


def estimate_pictures(
    estimator: HandEstimator,
    pictures: Iterable[SeenPicture],
    boxes: HandBoxes,
    *,
    hand: str | None = None,
    batch_size: int = 16,
) -> Iterator[PictureHands]:
    """Estimate the hand in each box of each image.

    Args:
        estimator: The network.
        pictures: Images, read lazily, at most `batch_size` ahead.
        boxes: Bounding boxes of the hands.
        hand: Handedness for boxes that do not state it; None to predict it from the gestures.
        batch_size: Number of images read, and of hands computed, at a time.

    Yields:
        One result per image, in order. An invalid box is recorded as a fault of its image.

    Raises:
        ValueError: The handedness of a hand is unknown.
    """
    waiting: list[SeenPicture] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == batch_size:
            yield from _of_batch(estimator, waiting, boxes, hand)
            waiting = []
    yield from _of_batch(estimator, waiting, boxes, hand)


def _of_batch(
    estimator: HandEstimator,
    pictures: list[SeenPicture],
    boxes: HandBoxes,
    hand: str | None,
) -> Iterator[PictureHands]:
    chosen = [_usable(picture, boxes, estimator.box_ratio) for picture in pictures]
    images, squares, sides = [], [], []
    for picture, (usable, _) in zip(pictures, chosen, strict=True):
        for box in usable:
            side = box.hand or hand
            _require_side(estimator, side, picture)
            images.append(picture.image_rgb)
            squares.append(box.box_xywh_px)
            sides.append(side)
    found = iter(estimator.predict(images, squares, sides))
    for picture, (usable, faults) in zip(pictures, chosen, strict=True):
        yield PictureHands(picture, [next(found) for _ in usable], faults)


def _usable(
    picture: SeenPicture, boxes: HandBoxes, box_ratio: float
) -> tuple[list[HandBox], list[str]]:
    usable, faults = [], []
    for box in boxes.of(picture.name, picture.frame):
        try:
            square_hand_box(
                picture.image_rgb, box.box_xywh_px, box_ratio=box_ratio, number=title(picture)
            )
        except ValueError as error:
            faults.append(str(error))
        else:
            usable.append(box)
    return usable, faults


def _require_side(estimator: HandEstimator, side: str | None, picture: SeenPicture) -> None:
    if side is None and not estimator.tells_sides():
        raise ValueError(
            f"the handedness in {title(picture)} is unknown. Give it (--hand, or `hand` in the "
            "file of boxes), or a gesture network that predicts it (--gestures)."
        )


def title(picture: SeenPicture) -> str:
    """Return an image's name for messages."""
    return picture.name if picture.frame is None else f"{picture.name}, frame {picture.frame}"
