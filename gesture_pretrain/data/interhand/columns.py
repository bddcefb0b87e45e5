"""Assemble the columns of an index from its joined splits."""

from __future__ import annotations

import numpy as np

from gesture_pretrain.data.index.writer import path_columns, smallest
from gesture_pretrain.data.interhand.join import JoinedSplit, Vocabulary, time_key
from gesture_pretrain.data.interhand.values import find_sorted

_OPTIONAL = ("detected_bbox_xywh_px", "detected_wrist_depth_mm")


def assemble_columns(
    parts: list[JoinedSplit], words: Vocabulary
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Concatenate the splits, whose own columns are deleted to save memory.

    Returns:
        The columns, and the labels in alphabetical order; `sequence` holds positions in them.
    """
    for part in parts:
        part.images["calibration"] = _calibration_of_images(part)
    _offset_references(parts)
    labels = sorted(words.sequences)
    new_code = np.array([labels.index(name) for name in words.sequences], np.int32)
    irregular = _irregular_paths(parts)
    columns = _optional_columns(parts)
    for name in list(parts[0].images):
        columns[name] = np.concatenate([part.images.pop(name) for part in parts])
    columns["sequence"] = smallest(new_code[columns["sequence"]])
    for name in ("subject", "camera", "size", "calibration"):
        columns[name] = smallest(columns[name])
    if np.array_equal(columns["annotation_id"], columns["image_id"]):
        del columns["annotation_id"]  # equal in every published file
    del columns["capture"], columns["frame"]  # stored per time step
    for name in list(parts[0].steps):
        columns[f"step_{name}"] = np.concatenate([part.steps.pop(name) for part in parts])
    columns["step_capture"] = smallest(columns["step_capture"])
    columns |= _calibration_columns(parts)
    if not len(columns["camera_focal_px"]):
        del columns["calibration"]  # nothing is calibrated
    columns["mano"] = np.concatenate([part.fits for part in parts])
    if irregular:
        columns |= path_columns(irregular, len(columns["image_id"]))
    return columns, labels


def _offset_references(parts: list[JoinedSplit]) -> None:
    first_step = first_fit = first_camera = 0
    for part in parts:
        of_image = part.images["calibration"]
        part.images["calibration"] = np.where(of_image >= 0, of_image + np.int32(first_camera), -1)
        first_camera += len(part.cameras.capture)
        part.images["step"] += np.int32(first_step)
        part.steps["mano"] = np.where(
            part.steps["mano"] >= 0, part.steps["mano"] + np.int32(first_fit), np.int32(-1)
        )
        first_step += part.num_steps
        first_fit += len(part.fits)


def _optional_columns(parts: list[JoinedSplit]) -> dict[str, np.ndarray]:
    """Return the columns that only some splits have, NaN in the others."""
    found: dict[str, np.ndarray] = {}
    count, first = sum(part.num_images for part in parts), 0
    for part in parts:
        for name in [name for name in _OPTIONAL if name in part.images]:
            values = part.images.pop(name)
            if name not in found:
                found[name] = np.full((count, *values.shape[1:]), np.nan, values.dtype)
            found[name][first : first + part.num_images] = values
        first += part.num_images
    return found


def _calibration_of_images(part: JoinedSplit) -> np.ndarray:
    """Return (N,) row of each image's calibration inside the split; -1 where it has none."""
    keys = time_key(part.cameras.capture, part.cameras.camera)
    order = np.argsort(keys, kind="stable")
    wanted = time_key(part.images["capture"], part.images["camera"])
    place = find_sorted(keys[order], wanted)
    if not len(order):
        return np.full(len(wanted), -1, np.int32)
    return np.where(place >= 0, order[place], -1).astype(np.int32)


def _calibration_columns(parts: list[JoinedSplit]) -> dict[str, np.ndarray]:
    def stacked(name: str) -> np.ndarray:
        return np.concatenate([getattr(part.cameras, name) for part in parts])

    return {
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
