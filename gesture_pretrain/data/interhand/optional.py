"""RootNet's detections, an optional file beside the annotations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.interhand.images import columns_of
from gesture_pretrain.data.interhand.stream import JsonStream
from gesture_pretrain.data.interhand.values import ODD_VALUES, OnBytes, integers, numbers

_BATCH = 512
_DETECTION_KEYS = ("annot_id", "bbox", "abs_depth", "root_valid")


@dataclass
class DetectionTable:
    """RootNet's output for a split.

    Attributes:
        annotation_id: (D,) annotation ids.
        bbox_xywh_px: (D, 4) boxes, which are square and enlarged.
        wrist_depth_mm: (D, 2) wrist depths of the right and the left hand.
        wrist_valid: (D, 2) bool.
    """

    annotation_id: np.ndarray
    bbox_xywh_px: np.ndarray
    wrist_depth_mm: np.ndarray
    wrist_valid: np.ndarray


def read_detections(path: Path, on_bytes: OnBytes = None) -> DetectionTable:
    """Stream a `rootnet_interhand2.6m_output_*.json`."""
    ids: list[np.ndarray] = [np.zeros(0, np.int32)]
    rows: list[np.ndarray] = [np.zeros((0, 8))]
    with JsonStream(path, on_bytes) as stream:
        for batch in stream.element_batches(_BATCH):
            columns = columns_of(batch, _DETECTION_KEYS, "detection", path)
            try:
                ids.append(integers(columns[0], "annot_id", 0))
                rows.append(
                    np.hstack([_numbers(c, n) for c, n in zip(columns[1:], (4, 2, 2), strict=True)])
                )
            except ODD_VALUES as error:
                raise DataError(
                    f"{path}: detection {columns[0][0]} or one of the {len(batch) - 1} after it is "
                    f"invalid: {error}."
                ) from None
        stream.finish()
    found = np.concatenate(rows).astype(np.float32)
    return DetectionTable(np.concatenate(ids), found[:, :4], found[:, 4:6], found[:, 6:] > 0.5)


def _numbers(values: tuple, count: int) -> np.ndarray:
    return numbers(values, (len(values), count))
