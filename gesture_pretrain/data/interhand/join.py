"""Join the annotation files of one split: images, annotations, time steps and fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.record import HANDS, SPLITS
from gesture_pretrain.data.index.writer import step_key
from gesture_pretrain.data.interhand.files import AnnotationFiles
from gesture_pretrain.data.interhand.images import ImageTable, read_images
from gesture_pretrain.data.interhand.optional import read_detections
from gesture_pretrain.data.interhand.values import Codes, OnBytes, Rounding, find_sorted
from gesture_pretrain.data.interhand.world import (
    FIT_SIZE,
    CameraTable,
    FitTable,
    JointTable,
    read_cameras,
    read_fits,
    read_joints,
)


@dataclass
class Vocabulary:
    """Names shared by all splits, numbered in the order of their appearance."""

    sequences: Codes
    cameras: Codes
    sizes: Codes
    rounding: Rounding


@dataclass
class JoinedSplit:
    """One joined split; references (`step`, `mano`) are positions within the split.

    Attributes:
        images: Columns with a row per image, in the order of the file.
        irregular_names: Position -> file name, where it does not follow from the other fields.
        steps: Columns with a row per time step, ascending by (capture, frame).
        fits: (F, 61) float32.
        sources: Name, bytes and sha256 of each file.
        notes: Counts of incomplete entries.
    """

    split: str
    images: dict[str, np.ndarray]
    irregular_names: dict[int, str]
    steps: dict[str, np.ndarray]
    cameras: CameraTable
    fits: np.ndarray
    sources: list[dict]
    notes: dict[str, int]

    def __post_init__(self) -> None:
        self.num_images = len(self.images["image_id"])
        self.num_steps = len(self.steps["key"])


def read_split(files: AnnotationFiles, words: Vocabulary, on_bytes: OnBytes) -> JoinedSplit:
    """Stream and join the files of one split.

    Raises:
        DataError: A file is damaged, or its entries contradict each other.
    """
    table = read_images(
        files.data, words.sequences, words.cameras, words.sizes, words.rounding, on_bytes
    )
    cameras = read_cameras(files.camera, words.cameras, words.rounding, on_bytes)
    joints = read_joints(files.joints, words.rounding, on_bytes)
    sources = [(files.data, table), (files.camera, cameras), (files.joints, joints)]
    fits = None
    if files.mano is not None:
        fits = read_fits(files.mano, words.rounding, on_bytes)
        sources.append((files.mano, fits))
    images, notes = _join_annotations(files, table)
    steps, step_of_image = _time_steps(files.split, table, joints, fits)
    images["step"] = step_of_image
    images.update(_optional_columns(files, images["annotation_id"], on_bytes))
    notes["time_steps_without_joints"] = int(np.count_nonzero(steps["has_joints"] == 0))
    notes["joint_entries_without_image"] = len(joints.frame) - int(steps["has_joints"].sum())
    return JoinedSplit(
        files.split,
        images,
        table.irregular_names,
        steps,
        cameras,
        np.zeros((0, FIT_SIZE), np.float32) if fits is None else fits.fit,
        [
            {
                "split": files.split,
                "file": path.name,
                "bytes": path.stat().st_size,
                "sha256": read.sha256,
            }
            for path, read in sources
        ],
        notes,
    )


def _join_annotations(
    files: AnnotationFiles, table: ImageTable
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Assign the annotations to images; an image without one gets NaN and the hand "unknown"."""
    ids = table.images["id"]
    _refuse_repeats(files.data, "image id", ids)
    of_image = table.annotations["image_id"]
    _refuse_repeats(files.data, "annotated image", of_image)
    _refuse_repeats(files.data, "annotation id", table.annotations["id"])
    order = np.argsort(ids, kind="stable")
    place = find_sorted(ids[order], of_image)
    strays = of_image[place < 0]
    if len(strays):
        raise DataError(
            f"{files.data}: {len(strays)} annotations refer to an image that is not in the file, "
            f"first image_id {strays[0]}. Images and annotations do not belong together."
        )
    rows = order[place]
    count = len(ids)

    def spread(name: str, missing: int | float) -> np.ndarray:
        values = table.annotations[name]
        column = np.full((count, *values.shape[1:]), missing, values.dtype)
        column[rows] = values
        return column

    images = {name: values for name, values in table.images.items() if name != "id"}
    images |= {
        "image_id": ids,
        "annotation_id": spread("id", -1),
        "bbox_xywh_px": spread("bbox", np.nan),
        "in_view_bits": spread("in_view_bits", 0),
        "hand": spread("hand", HANDS.index("unknown")),
        "hand_valid": spread("hand_valid", 0),
    }
    return images, {"images_without_annotation": count - len(rows)}


def _refuse_repeats(path: Path, what: str, numbers: np.ndarray) -> None:
    values, counts = np.unique(numbers, return_counts=True)
    if counts.max(initial=0) > 1:
        repeated = values[counts > 1]
        raise DataError(
            f"{path}: {len(repeated)} repeated {what}s, first {repeated[0]}. Each image must have "
            "one entry and one annotation."
        )


def time_key(capture: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Pack pairs of int32 into int64 that sort by capture, negative numbers included."""
    return capture.astype(np.int64) << 32 | number.astype(np.int64) & 0xFFFFFFFF


def _time_steps(
    split: str, table: ImageTable, joints: JointTable, fits: FitTable | None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return columns of the distinct (capture, frame), and the time step of each image."""
    keys, step_of_image = np.unique(
        time_key(table.images["capture"], table.images["frame"]), return_inverse=True
    )
    capture, frame = keys >> 32, keys.astype(np.int32)  # the lower half
    order = np.argsort(time_key(joints.capture, joints.frame), kind="stable")
    place = find_sorted(time_key(joints.capture, joints.frame)[order], keys)
    known = place >= 0
    rows = order[place[known]]
    world = np.full((len(keys), *joints.joints_world_mm.shape[1:]), np.nan, np.float32)
    world[known] = joints.joints_world_mm[rows]
    bits = np.zeros((len(keys), joints.triangulated_bits.shape[1]), np.uint8)
    bits[known] = joints.triangulated_bits[rows]
    hand = np.full(len(keys), HANDS.index("unknown"), np.uint8)
    hand[known] = joints.hand[rows]
    names = (f"{split}/{c}/{f}" for c, f in zip(capture.tolist(), frame.tolist(), strict=True))
    steps = {
        "split": np.full(len(keys), SPLITS.index(split), np.uint8),
        "capture": capture,
        "frame": frame,
        "key": np.array([step_key(name) for name in names], np.uint64),
        "has_joints": known.astype(np.uint8),
        "joints_world_mm": world,
        "triangulated_bits": bits,
        "hand": hand,
        "mano": _fits_of_steps(keys, fits),
    }
    return steps, step_of_image.astype(np.int32)


def _fits_of_steps(keys: np.ndarray, fits: FitTable | None) -> np.ndarray:
    """Return (T, 2) row of the fit of each hand, -1 for none."""
    rows = np.full((len(keys), 2), -1, np.int32)
    if fits is not None:
        place = find_sorted(keys, time_key(fits.capture, fits.frame))
        known = np.flatnonzero(place >= 0)
        rows[place[known], fits.hand[known]] = known
    return rows


def _optional_columns(
    files: AnnotationFiles, annotation_ids: np.ndarray, on_bytes: OnBytes
) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    if files.detections is not None:
        found = read_detections(files.detections, on_bytes)
        order = np.argsort(annotation_ids, kind="stable")
        place = find_sorted(annotation_ids[order], found.annotation_id)
        if (place < 0).any():
            raise DataError(
                f"{files.detections}: {np.count_nonzero(place < 0)} of {len(place)} annotation ids "
                f"are not in {files.data}. Are these the 5 fps and the 30 fps files?"
            )
        rows = order[place]
        box = np.full((len(annotation_ids), 4), np.nan, np.float32)
        box[rows] = found.bbox_xywh_px
        depth = np.full((len(annotation_ids), 2), np.nan, np.float32)
        depth[rows] = np.where(found.wrist_valid, found.wrist_depth_mm, np.nan)
        columns |= {"detected_bbox_xywh_px": box, "detected_wrist_depth_mm": depth}
    return columns
