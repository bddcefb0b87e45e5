"""Pictures and boxes to hands, in batches, one picture's trouble being no other's."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from adapters.prediction.hand_boxes import HandBox, HandBoxes
from adapters.prediction.hand_crops import square_hand_box
from adapters.prediction.hand_estimator import HandEstimate, HandEstimator
from adapters.prediction.picture_source import SeenPicture


class PictureHands(NamedTuple):
    """The hands of one picture.

    Attributes:
        picture: What was read.
        hands: One per box that could be used, in the order of the boxes.
        faults: What was wrong with the others.
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
    """Estimates the hand in each box of each picture.

    Args:
        estimator: The network.
        pictures: Read one after the other, never more than `batch_size` ahead.
        boxes: Where the hands are.
        hand: Side of those hands whose box does not state one; None: the gestures tell it.
        batch_size: Pictures that are read, and hands that are computed, at a time.

    Yields:
        One result per picture, in order; a box without area or outside of its picture is a fault
        of that picture only.

    Raises:
        ValueError: Nothing tells a hand's side.
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
            f"nothing tells whether {title(picture)} shows a right or a left hand. Give the side "
            "(--hand, or `hand` in the file of boxes), or a network whose gestures tell it "
            "(--gestures)."
        )


def title(picture: SeenPicture) -> str:
    """A picture's name, for messages."""
    return picture.name if picture.frame is None else f"{picture.name}, frame {picture.frame}"
