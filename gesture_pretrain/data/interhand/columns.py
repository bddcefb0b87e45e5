"""The joined splits as the columns of one index."""

from __future__ import annotations

import numpy as np

from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.data.index.writer import path_columns, smallest
from gesture_pretrain.data.interhand.join import JoinedSplit, Vocabulary

# what a split may lack -> what then stands in its rows
_OPTIONAL = {"human": 255, "detected_bbox_xywh_px": np.nan, "detected_wrist_depth_mm": np.nan}


def assemble_columns(
    parts: list[JoinedSplit], words: Vocabulary
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Puts the splits one after the other; takes their columns away from them to save memory.

    Returns:
        The columns, and the labels that `sequence` numbers, in alphabetical order.
    """
    _offset_references(parts)
    labels = sorted(words.sequences)
    new_code = np.array([labels.index(name) for name in words.sequences], np.int32)
    irregular = _irregular_paths(parts)
    columns = _optional_columns(parts)
    for name in list(parts[0].images):
        columns[name] = np.concatenate([part.images.pop(name) for part in parts])
    columns["sequence"] = smallest(new_code[columns["sequence"]])
    for name in ("subject", "camera", "size"):
        columns[name] = smallest(columns[name])
    if np.array_equal(columns["annotation_id"], columns["image_id"]):
        del columns["annotation_id"]  # as in every published file; do not store it twice
    del columns["capture"], columns["frame"]  # those of the step
    for name in list(parts[0].steps):
        columns[f"step_{name}"] = np.concatenate([part.steps.pop(name) for part in parts])
    columns["step_capture"] = smallest(columns["step_capture"])
    columns |= _calibration_columns(parts, int(columns["step_capture"].max()), len(words.cameras))
    columns["mano"] = np.concatenate([part.fits for part in parts])
    if irregular:
        columns |= path_columns(irregular, len(columns["image_id"]))
    return columns, labels


def _offset_references(parts: list[JoinedSplit]) -> None:
    first_step = first_fit = 0
    for part in parts:
        part.images["step"] += np.int32(first_step)
        part.steps["mano"] = np.where(
            part.steps["mano"] >= 0, part.steps["mano"] + np.int32(first_fit), np.int32(-1)
        )
        first_step += part.num_steps
        first_fit += len(part.fits)


def _optional_columns(parts: list[JoinedSplit]) -> dict[str, np.ndarray]:
    """Columns that some splits have, filled with "not known" in the others."""
    found: dict[str, np.ndarray] = {}
    count, first = sum(part.num_images for part in parts), 0
    for part in parts:
        for name in _OPTIONAL.keys() & part.images.keys():
            values = part.images.pop(name)
            if name not in found:
                found[name] = np.full((count, *values.shape[1:]), _OPTIONAL[name], values.dtype)
            found[name][first : first + part.num_images] = values
        first += part.num_images
    return found


def _calibration_columns(
    parts: list[JoinedSplit], largest_capture: int, num_cameras: int
) -> dict[str, np.ndarray]:
    """The calibrations, and where each (split, capture, camera) has its own; -1 where it has none.

    A capture without any calibration, or a camera known to one split only, stays -1.
    """
    largest = max(largest_capture, *(int(part.cameras.capture.max(initial=0)) for part in parts))
    table = np.full((len(SPLITS), largest + 1, num_cameras), -1, np.int32)
    first = 0
    for part in parts:
        rows = first + np.arange(len(part.cameras.capture))
        table[SPLITS.index(part.split), part.cameras.capture, part.cameras.camera] = rows
        first += len(rows)

    def stacked(name: str) -> np.ndarray:
        return np.concatenate([getattr(part.cameras, name) for part in parts])

    return {
        "calibration": table,
        "camera_R_cam_world": stacked("R_cam_world"),
        "camera_center_mm": stacked("camera_center_mm"),
        "camera_focal_px": stacked("focal_px"),
        "camera_princpt_px": stacked("princpt_px"),
    }


def _irregular_paths(parts: list[JoinedSplit]) -> dict[int, str]:
    first, paths = 0, {}
    for part in parts:
        paths |= {first + position: name for position, name in part.irregular_names.items()}
        first += part.num_images
    return paths
