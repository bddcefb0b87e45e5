"""Simulated detections of the rendered images, in the format of RootNet's published output.

The published files hold boxes and wrist depths of val and test, which evaluation uses instead of
annotations. The simulated errors are of realistic size. Their standard deviations are 3 % of the
side for the centre of a box, 6 % for its side and 4 % for the depth. In one image of 50 they are
four times as large.
"""

import json
from pathlib import Path

import numpy as np

from gesture_pretrain.geometry.boxes import square_box

DETECTED_SPLITS = ("val", "test")  # as published

_BOX_RATIO = 1.25  # the boxes are enlarged already
_CENTRE_SHARE, _SIDE_SHARE, _DEPTH_SHARE = 0.03, 0.06, 0.04
_OUTLIERS, _OUTLIER_FACTOR = 0.02, 4.0


def detection_note(
    rng: np.random.Generator,
    *,
    annotation_id: int,
    hand: str,
    bbox_xywh_px: list[float],
    wrist_depth_mm: float,
    error_factor: float = 1.0,
) -> dict:
    """Make an entry: a square box that may leave the image, and the wrist depth of the hand.

    Args:
        rng: Stream of this image's detection.
        annotation_id: Id of the annotation.
        hand: "right" or "left".
        bbox_xywh_px: The annotated box.
        wrist_depth_mm: True depth, camera frame.
        error_factor: Factor on the errors described above.
    """
    factor = error_factor * (_OUTLIER_FACTOR if rng.uniform() < _OUTLIERS else 1.0)
    right, down, side, depth, other = factor * rng.normal(0.0, 1.0, 5)
    box = square_box(bbox_xywh_px, _BOX_RATIO)
    length = box[2] * np.exp(_SIDE_SHARE * side)
    centre = box[:2] + box[2:] / 2 + box[2] * _CENTRE_SHARE * np.array([right, down])
    square = np.concatenate([centre - length / 2, [length, length]])
    depths = [
        wrist_depth_mm * np.exp(_DEPTH_SHARE * depth),
        wrist_depth_mm * np.exp(_DEPTH_SHARE * other),  # a guess for the absent hand
    ]
    scores = [rng.uniform(0.9, 1.0), rng.uniform(0.0, 0.1)]
    if hand == "left":
        depths, scores = depths[::-1], scores[::-1]
    return {
        "annot_id": annotation_id,
        "bbox": np.float32(square).tolist(),
        "abs_depth": np.float32(depths).tolist(),
        "root_valid": np.float32(scores).tolist(),
    }


def write_detections(root: Path, split: str, notes: list[dict]) -> None:
    """Write a split's file under its published name."""
    folder = root / "rootnet_output"
    folder.mkdir(exist_ok=True)
    path = folder / f"rootnet_interhand2.6m_output_{split}.json"
    path.write_text(json.dumps(notes), encoding="utf-8")
