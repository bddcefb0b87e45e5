"""Bounding boxes of the hands in a user's images, from an argument or a file.

A box is the x and y of its upper left corner, its width and its height, in pixels of the upright
image. Accepted files:

* CSV with the header `image,x,y,width,height` and optional columns `hand` and `frame`;
* JSON by image name: `{"a.jpg": [x, y, w, h], "b.jpg": [{"box": [x, y, w, h], "hand": "left"}]}`,
  where `frame` is optional, too;
* JSON in COCO's layout (`images` with `file_name`; `annotations` with `bbox` and an optional
  `hand_type`), as used by InterHand2.6M and mmpose's hand datasets.

An image may have several boxes. `frame` is the index of a video frame, from 0; a box without it
applies to every frame.
"""

import csv
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adapters.detection import DetectedHand
from adapters.prediction.image_source import SeenImage
from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.names import first_few
from gesture_pretrain.skeleton import HANDS

_CSV_COLUMNS = ("image", "x", "y", "width", "height")


class HandBox(NamedTuple):
    """A bounding box and the handedness of the hand in it.

    Attributes:
        box_xywh_px: Four numbers; None for the whole image.
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


def boxes_from_file(path: str | PathLike) -> HandBoxes:
    """Read boxes from a CSV or JSON file; see the module for the layouts.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Unknown file type or layout, or an invalid box or handedness.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of boxes {path}")
    readers = {".csv": _csv_entries, ".json": _json_entries}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: boxes are read from .csv or .json, not {path.suffix!r}")
    try:
        entries = readers[path.suffix.lower()](path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as {path.suffix[1:].upper()}: {error}") from error
    by_image: dict[tuple[str, int | None], list[HandBox]] = {}
    for place, entry in entries:
        name, frame, box = _checked(entry, f"{path}, {place}")
        by_image.setdefault((name, frame), []).append(box)
    return HandBoxes(by_image=by_image, source=str(path))


def _csv_entries(path: Path) -> list[tuple[str, dict]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in _CSV_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path} lacks the columns {', '.join(missing)}; its first line must name "
                f"{','.join(_CSV_COLUMNS)} and may name hand,frame"
            )
        return [
            (f"line {reader.line_num}", {**row, "box": [row[name] for name in _CSV_COLUMNS[1:]]})
            for row in reader
        ]


def _json_entries(path: Path) -> list[tuple[str, dict]]:
    content = read_json(path, ValueError)
    if not isinstance(content, dict):
        raise ValueError(
            f'{path} has an unknown layout. Allowed: {{"name.jpg": [x, y, w, h]}}, '
            '{"name.jpg": [{"box": [x, y, w, h], "hand": "left"}]}, or COCO\'s images and '
            "annotations."
        )
    if {"images", "annotations"} <= set(content):
        return _coco_entries(content, path)
    return [
        (name, {**(item if isinstance(item, dict) else {"box": item}), "image": name})
        for name, items in content.items()
        for item in _listed(items)
    ]


def _coco_entries(content: dict, path: Path) -> list[tuple[str, dict]]:
    try:
        files = {image["id"]: image["file_name"] for image in content["images"]}
        return [
            (
                f"annotation {i}",
                {
                    "image": files[annotation["image_id"]],
                    "box": annotation["bbox"],
                    "hand": _side_of_hand_type(annotation.get("hand_type")),
                },
            )
            for i, annotation in enumerate(content["annotations"])
        ]
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} has images and annotations, but not in COCO's layout: {error!r} is missing"
        ) from error


def _side_of_hand_type(hand_type: Any) -> Any:
    """Map InterHand2.6M's "interacting" (two hands in one box) to unknown handedness."""
    return None if hand_type == "interacting" else hand_type


def _listed(items: Any) -> list:
    """Return the boxes of an image as a list; files may give a single box as itself."""
    is_list_of_boxes = isinstance(items, list) and items and isinstance(items[0], list | dict)
    return items if is_list_of_boxes else [items]


def _checked(entry: Mapping, place: str) -> tuple[str, int | None, HandBox]:
    name, side, frame = (entry.get(key) for key in ("image", "hand", "frame"))
    if not isinstance(name, str) or not name:
        raise ValueError(f"{place} names no image")
    if (side or None) not in (*HANDS, None):
        raise ValueError(f"{place}: hand is {side!r}; allowed: 'right', 'left', or nothing")
    try:
        number = None if frame in (None, "") else int(frame)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{place}: frame is {frame!r}; it must be a whole number") from None
    return Path(name).name, number, HandBox(box_of_four(entry.get("box"), place), side or None)


def box_of_four(values: Any, place: str) -> tuple[float, ...]:
    """Parse four finite numbers.

    Raises:
        ValueError: `values` is anything else.
    """
    try:
        box = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        box = ()
    if len(box) != 4 or not np.isfinite(box).all():
        raise ValueError(f"{place}: box is {values}; it must be x, y, width, height in pixels")
    return box
