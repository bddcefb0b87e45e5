"""Optional files beside the annotations: RootNet's detections and the list of human annotations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.interhand.images import columns_of
from gesture_pretrain.data.interhand.stream import JsonStream
from gesture_pretrain.data.interhand.values import OnBytes

_BATCH = 512
_DETECTION_KEYS = ("annot_id", "bbox", "abs_depth", "root_valid")


@dataclass
class DetectionTable:
    """RootNet's output for a split: annotation ids (D,), boxes (D, 4) as xywh px that are already
    square and enlarged, wrist depths (D, 2) in mm of right and left, and their validity (D, 2)."""

    annotation_id: np.ndarray
    bbox_xywh_px: np.ndarray
    wrist_depth_mm: np.ndarray
    wrist_valid: np.ndarray


def read_detections(path: Path, on_bytes: OnBytes = None) -> DetectionTable:
    """Streams a `rootnet_interhand2.6m_output_*.json`."""
    ids: list[int] = []
    rows: list[list[float]] = []
    with JsonStream(path, on_bytes) as stream:
        for batch in stream.element_batches(_BATCH):
            columns = columns_of(batch, _DETECTION_KEYS, "detection", path)
            ids.extend(columns[0])
            rows.extend(
                [*box, *depth, *valid] for box, depth, valid in zip(*columns[1:], strict=True)
            )
        stream.finish()
    numbers = np.array(rows, np.float32).reshape(-1, 8)
    return DetectionTable(
        np.array(ids, np.int32), numbers[:, :4], numbers[:, 4:6], numbers[:, 6:] > 0.5
    )


def read_annotation_ids(path: Path) -> np.ndarray:
    """Reads `aid_human_annot_*.txt`: one annotation id per line, in any order."""
    try:
        return np.unique(np.array(path.read_text().split(), np.int32))
    except ValueError as error:
        raise DataError(f"{path}: expected one annotation id per line ({error}).") from None
