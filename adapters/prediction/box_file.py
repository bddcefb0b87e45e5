"""Files of bounding boxes. Accepted are:

* CSV with the header `image,x,y,width,height` and optional columns `hand` and `frame`;
* JSON by image name: `{"a.jpg": [x, y, w, h], "b.jpg": [{"box": [x, y, w, h], "hand": "left"}]}`,
  optionally with `frame`;
* JSON in COCO's layout (`images` with `file_name`; `annotations` with `bbox` and an optional
  `hand_type`), as used by InterHand2.6M and mmpose's hand datasets.

An image may have several boxes. `frame` is the index of a video frame, from 0; a box without it
applies to every frame.
"""

import csv
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from adapters.prediction.hand_boxes import HandBox, HandBoxes
from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.schema import section
from gesture_pretrain.skeleton import HANDS

Pixels = Annotated[float, Field(allow_inf_nan=False)]
_CSV_COLUMNS = ("image", "x", "y", "width", "height")
_OPTIONAL_COLUMNS = ("hand", "frame")


@section
class _Entry:
    image: Annotated[str, Field(min_length=1)]
    box: tuple[Pixels, Pixels, Pixels, Pixels]
    hand: Literal[HANDS] | None = None
    frame: Annotated[int, Field(ge=0)] | None = None


def boxes_from_file(path: str | PathLike) -> HandBoxes:
    """Read boxes from a CSV or JSON file; see the module for the layouts.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Unknown file type, layout or key, or an invalid box or handedness.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of boxes {path}")
    readers = {".csv": _csv_entries, ".json": _json_entries}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: boxes are read from .csv or .json, not {path.suffix!r}")
    by_image: dict[tuple[str, int | None], list[HandBox]] = {}
    for place, values in readers[path.suffix.lower()](path):
        try:
            entry = _Entry(**values)
        except ValueError as error:
            raise ValueError(f"{path}, {place}: {error}") from None
        key = (Path(entry.image).name, entry.frame)
        by_image.setdefault(key, []).append(HandBox(entry.box, entry.hand))
    return HandBoxes(by_image=by_image, source=str(path))


def _csv_entries(path: Path) -> list[tuple[str, dict]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(f"line {reader.line_num}", row) for row in reader]
            columns = reader.fieldnames or ()
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV: {error}") from error
    missing = sorted(set(_CSV_COLUMNS).difference(columns), key=_CSV_COLUMNS.index)
    unknown = sorted(set(columns).difference(_CSV_COLUMNS, _OPTIONAL_COLUMNS))
    if missing or unknown:
        problem = f"lacks the columns {', '.join(missing)}" if missing else f"has {unknown}"
        raise ValueError(
            f"{path} {problem}; its first line must name {','.join(_CSV_COLUMNS)} and may name "
            f"{','.join(_OPTIONAL_COLUMNS)}."
        )
    return [(place, _csv_entry(row)) for place, row in rows]


def _csv_entry(row: dict[str, str]) -> dict[str, Any]:
    image, *box = (row[name] for name in _CSV_COLUMNS)
    optional = {name: row.get(name) or None for name in _OPTIONAL_COLUMNS}
    return {"image": image, "box": box, **optional}


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
