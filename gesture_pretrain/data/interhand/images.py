"""Read InterHand2.6M's `data.json`: the images of a split, and what each view shows.

The flags in this file are per view: a joint is annotated and inside the image. The flags in
`joint_3d.json` have the same name and another meaning (see `world`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import itemgetter
from pathlib import Path

import numpy as np

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.record import HANDS
from gesture_pretrain.data.interhand.stream import JsonStream
from gesture_pretrain.data.interhand.values import (
    NUM_JOINTS_BOTH,
    ODD_VALUES,
    OURS_FROM_FILE,
    Codes,
    OnBytes,
    Rounding,
    integers,
    pack_flags,
    read_flags,
)

_BATCH = 512  # decoded objects alive at a time
_IMAGE_KEYS = (
    "id", "file_name", "width", "height", "capture", "subject", "seq_name", "camera", "frame_idx"
)  # fmt: skip
_ANNOTATION_KEYS = ("image_id", "id", "bbox", "joint_valid", "hand_type", "hand_type_valid")


@dataclass
class ImageTable:
    """`data.json`: N images, and A annotations that refer to them by `image_id`.

    Attributes:
        images: Name -> (N,) arrays `id`, `size`, `capture`, `subject`, `sequence`, `camera`,
            `frame`; `size`, `sequence` and `camera` are codes.
        irregular_names: Position -> file name, where it does not follow from the other fields.
        annotations: Name -> arrays `image_id` (A,), `id` (A,), `bbox` (A, 4) float32,
            `in_view_bits` (A, 6) uint8 (42 flags, mano21 order), `hand` (A,), `hand_valid` (A,).
    """

    images: dict[str, np.ndarray]
    irregular_names: dict[int, str]
    annotations: dict[str, np.ndarray]
    sha256: str


def regular_name(capture: int, sequence: str, camera: str, frame: int) -> str:
    """Return the path of an image below `images/{split}` in both releases."""
    return f"Capture{capture}/{sequence}/cam{camera}/image{frame}.jpg"


def read_images(
    path: Path,
    sequences: Codes,
    cameras: Codes,
    sizes: Codes,
    rounding: Rounding,
    on_bytes: OnBytes = None,
) -> ImageTable:
    """Stream a `*_data.json` once.

    Raises:
        DataError: A key or list is missing, a flag is neither 0 nor 1, or the JSON is damaged.
    """
    image_parts: list[dict[str, np.ndarray]] = []
    annotation_parts: list[dict[str, np.ndarray]] = []
    irregular: dict[int, str] = {}
    seen = 0
    with JsonStream(path, on_bytes) as stream:
        for key in stream.members():
            if key == "images":
                for batch in stream.element_batches(_BATCH):
                    make = partial(_image_arrays, path, seen, irregular, sequences, cameras, sizes)
                    image_parts.append(_arrays_of(batch, make, "image", path))
                    seen += len(batch)
            elif key == "annotations":
                for batch in stream.element_batches(_BATCH):
                    make = partial(_annotation_arrays, path, rounding)
                    annotation_parts.append(_arrays_of(batch, make, "annotation", path))
            else:
                stream.value()
        sha256 = stream.finish()
    if not image_parts or not annotation_parts:
        what = "images" if not image_parts else "annotations"
        raise DataError(
            f"{path}: no {what}; expected non-empty lists 'images' and 'annotations'. "
            "Is this an InterHand2.6M *_data.json?"
        )
    return ImageTable(_stack(image_parts), irregular, _stack(annotation_parts), sha256)


def _stack(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def columns_of(batch: list[dict], keys: tuple[str, ...], what: str, path: Path) -> list[tuple]:
    """Return the values of each key over a batch of entries.

    Raises:
        DataError: An entry lacks a key.
    """
    try:
        return list(zip(*map(itemgetter(*keys), batch), strict=True))
    except (KeyError, TypeError):
        for entry in batch:
            missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
            if missing:
                raise DataError(
                    f"{path}: {what} {str(entry)[:80]}... lacks {', '.join(missing)}; "
                    f"every {what} needs {', '.join(keys)}."
                ) from None
        raise


def _arrays_of(
    batch: list[dict], make: Callable[[list[dict]], dict], what: str, path: Path
) -> dict[str, np.ndarray]:
    """Convert a batch to arrays; the error for an invalid entry shows it."""
    try:
        return make(batch)
    except DataError:
        raise
    except ODD_VALUES as error:
        if len(batch) > 1:
            for entry in batch:
                _arrays_of([entry], make, what, path)
        raise DataError(f"{path}: {what} {str(batch[0])[:80]}... is invalid: {error}.") from None


def _image_arrays(
    path: Path,
    first: int,
    irregular: dict[int, str],
    sequences: Codes,
    cameras: Codes,
    sizes: Codes,
    batch: list[dict],
) -> dict[str, np.ndarray]:
    columns = columns_of(batch, _IMAGE_KEYS, "image", path)
    ids, names, widths, heights, captures, subjects, sequence, camera, frames = columns
    if {*map(type, names), *map(type, sequence)} != {str}:
        raise ValueError("file_name and seq_name must be strings")
    spelled = map(regular_name, captures, sequence, camera, frames)
    for offset, (name, expected) in enumerate(zip(names, spelled, strict=True)):
        if name != expected:
            irregular[first + offset] = name
    integers(widths, "width", 1), integers(heights, "height", 1)
    return {
        "id": integers(ids, "id", 0),
        "size": np.array([sizes[pair] for pair in zip(widths, heights, strict=True)], np.int32),
        "capture": integers(captures, "capture"),
        "subject": integers(subjects, "subject"),
        "sequence": np.array([sequences[name] for name in sequence], np.int32),
        "camera": np.array([cameras[str(name)] for name in camera], np.int32),
        "frame": integers(frames, "frame_idx"),
    }


def _annotation_arrays(path: Path, rounding: Rounding, batch: list[dict]) -> dict[str, np.ndarray]:
    columns = columns_of(batch, _ANNOTATION_KEYS, "annotation", path)
    image_ids, ids, boxes, joint_valid, hands, hands_valid = columns
    try:
        box = np.fromiter(chain.from_iterable(boxes), np.float64).reshape(len(batch), 4)
        flags = read_flags(joint_valid)[:, OURS_FROM_FILE]
        hand = np.array([HANDS.index(name) for name in hands], np.uint8)
    except ODD_VALUES as error:
        raise ValueError(
            f"{error}; bbox must have 4 numbers, joint_valid {NUM_JOINTS_BOTH} flags, and "
            f"hand_type must be one of {', '.join(HANDS[:3])}"
        ) from None
    if not set(hands_valid) <= {0, 1}:
        raise ValueError("hand_type_valid must be 0 or 1")
    hand_valid = np.array(hands_valid, np.uint8)
    return {
        "image_id": integers(image_ids, "image_id", 0),
        "id": integers(ids, "id", 0),
        "bbox": rounding.float32("bbox_xywh_px", box),
        "in_view_bits": pack_flags(flags),
        "hand": hand,
        "hand_valid": hand_valid,
    }
