"""Read InterHand2.6M's files with one entry per time step or camera: joints, cameras, MANO fits.

`joint_3d.json` has 42 triangulated joints, 1.0 where that failed. `MANO_NeuralAnnot.json` has a fit
per hand, which may be null or absent. Captures and frames may be absent. Their numbers and those of
cameras are unique within a split only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
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
    key_number,
    numbers,
    pack_flags,
    read_flags,
)
from gesture_pretrain.skeleton import NUM_JOINTS

FIT_SIZES = {"pose": 48, "shape": 10, "trans": 3}
FIT_SIZE = sum(FIT_SIZES.values())

_FILLER_MM = 1.0
_CAMERA_SHAPES = {"campos": (3,), "camrot": (3, 3), "focal": (2,), "princpt": (2,)}


@dataclass
class CameraTable:
    """K calibrations of one split, float32.

    Attributes:
        capture, camera: (K,) capture number and camera code.
        R_cam_world: (K, 3, 3) rotation.
        camera_center_mm: (K, 3) world frame.
        focal_px, princpt_px: (K, 2).
    """

    capture: np.ndarray
    camera: np.ndarray
    R_cam_world: np.ndarray
    camera_center_mm: np.ndarray
    focal_px: np.ndarray
    princpt_px: np.ndarray
    sha256: str


def read_cameras(
    path: Path, cameras: Codes, rounding: Rounding, on_bytes: OnBytes = None
) -> CameraTable:
    """Read a `*_camera.json`."""
    captures: list[int] = []
    codes: list[int] = []
    found: dict[str, list] = {name: [] for name in _CAMERA_SHAPES}
    with JsonStream(path, on_bytes) as stream:
        for capture in stream.members():
            entry = stream.value()
            try:
                number, camera = key_number(capture, "capture"), None
                for camera in entry["campos"]:
                    for name, shape in _CAMERA_SHAPES.items():
                        found[name].append(numbers(entry[name][camera], shape))
                    captures.append(number)
                    codes.append(cameras[camera])
            except ODD_VALUES as error:
                raise DataError(
                    f"{path}: capture {capture}, camera {camera}: {_reason(error)}. Each capture "
                    f"needs {', '.join(_CAMERA_SHAPES)} for the same cameras."
                ) from None
        sha256 = stream.finish()
    _refuse_repeats(path, zip(captures, codes, strict=True), "capture and camera")

    def column(name: str, source: str) -> np.ndarray:
        values = np.array(found[source], np.float64).reshape(-1, *_CAMERA_SHAPES[source])
        return rounding.float32(name, values)

    return CameraTable(
        np.array(captures, np.int32),
        np.array(codes, np.int32),
        column("camera_R_cam_world", "camrot"),
        column("camera_center_mm", "campos"),
        column("camera_focal_px", "focal"),
        column("camera_princpt_px", "princpt"),
        sha256,
    )


@dataclass
class JointTable:
    """Joints of T time steps.

    Attributes:
        capture, frame: (T,) numbers.
        joints_world_mm: (T, 2, 21, 3) float32, mano21 order, 1.0 where not triangulated.
        triangulated_bits: (T, 6) uint8, 42 flags in mano21 order.
        hand: (T,) code of the hand type of the sequence, not of the view.
    """

    capture: np.ndarray
    frame: np.ndarray
    joints_world_mm: np.ndarray
    triangulated_bits: np.ndarray
    hand: np.ndarray
    sha256: str


def read_joints(path: Path, rounding: Rounding, on_bytes: OnBytes = None) -> JointTable:
    """Stream a `*_joint_3d.json` with the entries of v1.0, or the bare lists of the first files."""
    keys: list[tuple[int, int]] = []
    joints: list[np.ndarray] = []
    flags: list[np.ndarray] = []
    hands: list[int] = []
    with JsonStream(path, on_bytes) as stream:
        for capture in stream.members():
            for frame in stream.members():
                entry = stream.value()
                try:
                    world, valid, hand = _joint_entry(entry)
                    keys.append((key_number(capture, "capture"), key_number(frame, "frame")))
                except ODD_VALUES as error:
                    raise DataError(
                        f"{path}: capture {capture} frame {frame} is invalid ({_reason(error)}). "
                        "It must have 42 x 3 world_coord and 42 joint_valid."
                    ) from None
                joints.append(rounding.float32("step_joints_world_mm", world))
                flags.append(valid)
                hands.append(hand)
        sha256 = stream.finish()
    _refuse_repeats(path, keys, "capture and frame")
    pairs = np.array(keys, np.int32).reshape(-1, 2)
    world = np.array(joints, np.float32).reshape(-1, NUM_JOINTS_BOTH, 3)[:, OURS_FROM_FILE]
    valid = np.array(flags, np.uint8).reshape(-1, NUM_JOINTS_BOTH)[:, OURS_FROM_FILE]
    return JointTable(
        pairs[:, 0],
        pairs[:, 1],
        world.reshape(-1, 2, NUM_JOINTS, 3),
        pack_flags(valid),
        np.array(hands, np.uint8),
        sha256,
    )


def _joint_entry(entry: dict | list) -> tuple[np.ndarray, np.ndarray, int]:
    if isinstance(entry, list):
        world = numbers(entry, (NUM_JOINTS_BOTH, 3))
        return world, (world != _FILLER_MM).any(axis=1), HANDS.index("unknown")
    world = numbers(entry["world_coord"], (NUM_JOINTS_BOTH, 3))
    hand = HANDS.index(entry.get("hand_type", "unknown"))
    return world, read_flags([entry["joint_valid"]])[0], hand


@dataclass
class FitTable:
    """F MANO fits, world frame.

    Attributes:
        capture, frame, hand: (F,) numbers; hand 0 is right, 1 is left.
        fit: (F, 61) pose (48, radians, minus the mean pose), shape (10), translation (3, metres).
    """

    capture: np.ndarray
    frame: np.ndarray
    hand: np.ndarray
    fit: np.ndarray
    sha256: str


def read_fits(path: Path, rounding: Rounding, on_bytes: OnBytes = None) -> FitTable:
    """Stream a `*_MANO_NeuralAnnot.json`; hands that are null or absent have no row."""
    keys: list[tuple[int, int, int]] = []
    fits: list[np.ndarray] = []
    with JsonStream(path, on_bytes) as stream:
        for capture in stream.members():
            for frame in stream.members():
                entry = stream.value()
                try:
                    for hand, name in enumerate(HANDS[:2]):
                        if not entry or entry.get(name) is None:
                            continue
                        place = key_number(capture, "capture"), key_number(frame, "frame")
                        keys.append((*place, hand))
                        fits.append(_fit_numbers(entry[name]))
                except ODD_VALUES as error:
                    raise DataError(
                        f"{path}: the fit of capture {capture} frame {frame} is invalid "
                        f"({_reason(error)}). It must have {FIT_SIZES}."
                    ) from None
        sha256 = stream.finish()
    _refuse_repeats(path, keys, "capture, frame and hand")
    triples = np.array(keys, np.int32).reshape(-1, 3)
    columns = rounding.float32("mano", np.array(fits, np.float64).reshape(-1, FIT_SIZE))
    return FitTable(triples[:, 0], triples[:, 1], triples[:, 2], columns, sha256)


def _fit_numbers(fit: dict) -> np.ndarray:
    return np.concatenate([numbers(fit[name], (size,)) for name, size in FIT_SIZES.items()])


def _refuse_repeats(path: Path, keys: Iterable[tuple], what: str) -> None:
    repeated = [key for key, count in Counter(keys).items() if count > 1]
    if repeated:
        raise DataError(
            f"{path}: {len(repeated)} entries repeat the {what} of another one, first "
            f"{repeated[0]}. Keep one of each."
        )


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
