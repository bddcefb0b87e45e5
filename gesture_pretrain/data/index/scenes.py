"""Backgrounds and lights of rendered images, as `scenes/SPLIT.json` of the dataset lists them."""

from typing import Any, NamedTuple

import numpy as np

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.files.json_file import read_json


class Scenes(NamedTuple):
    """Backgrounds and lights of some images.

    Attributes:
        backgrounds: Names of backgrounds.
        lights: Hashes of lights.
    """

    backgrounds: frozenset[str]
    lights: frozenset[str]


def scenes_of(index: HandIndex, rows: np.ndarray) -> Scenes | None:
    """Read the backgrounds and lights of some rows; None if the dataset does not record them.

    Raises:
        DataError: A file of scenes lacks one of the rows.
    """
    steps = index.values("step", rows)
    splits, captures, frames = (
        np.asarray(index.columns[f"step_{name}"])[steps] for name in ("split", "capture", "frame")
    )
    backgrounds, lights = set(), set()
    for code in np.unique(splits):
        path = index.root / "scenes" / f"{SPLITS[code]}.json"
        if not path.is_file():
            return None
        content, mine = read_json(path, DataError, largest_bytes=1 << 30), splits == code
        try:
            backgrounds |= _backgrounds(content, index.values("image_id", rows[mine]))
            lights |= _lights(content, captures[mine], frames[mine])
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{path} lacks the scene of an image of the index: {error}. Render the dataset "
                "again, or delete the folder to leave backgrounds and lights out of the audit."
            ) from error
    return Scenes(frozenset(backgrounds), frozenset(lights))


def _backgrounds(content: dict[str, Any], image_ids: np.ndarray) -> set[str]:
    return {content["images"][str(number)]["background"] for number in image_ids.tolist()}


def _lights(content: dict[str, Any], captures: np.ndarray, frames: np.ndarray) -> set[str]:
    moments = set(zip(captures.tolist(), frames.tolist(), strict=True))
    return {content["lights"][str(capture)][str(frame)] for capture, frame in moments}
