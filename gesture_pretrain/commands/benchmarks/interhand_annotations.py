"""Generated annotations with the structure of InterHand2.6M, at any fraction of its size.

1,361,062 images at scale 1: 19,444 time steps with 70 views each, in 27 captures with 139 cameras,
folder names of the real dataset, numbers that are float32 as in the real files, ids with gaps,
half of the images of one hand. There are no image files.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from gesture_pretrain.taxonomy import Taxonomy

FULL_IMAGES = 1_361_062
_VIEWS = 70
_CAPTURES = 27
_CAMERAS = 139
_TWO_HANDS = ("0266_dh_pray", "0282_sarcasticclap", "0390_dh_touchROM", "ROM02_Interaction_2_Hand")
_IDS_PER_GAP = 25_000
_FRAME_STEP = 18
_DISTANCE_MM = 1_200.0
_JOINT_RADII_MM = np.array([145.0, 120.0, 95.0, 70.0])  # fingertip to knuckle


def write_annotations(root: Path, scale: float) -> Path:
    """Write `root/annotations/train/*.json` in the v1.0 layout.

    Args:
        root: Folder of the synthetic dataset.
        scale: Fraction of the real training set's images.

    Returns:
        `root`.
    """
    folder = root / "annotations" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    count = max(_VIEWS, round(FULL_IMAGES * scale))
    steps = _time_steps(-(-count // _VIEWS))
    cameras = [str((400002 if k < 80 else 410001) + k) for k in range(_CAMERAS)]
    _write_data(folder / "InterHand2.6M_train_data.json", steps, cameras, count, rng)
    _write_cameras(folder / "InterHand2.6M_train_camera.json", cameras, rng)
    _write_joints(folder / "InterHand2.6M_train_joint_3d.json", steps, rng)
    _write_fits(folder / "InterHand2.6M_train_MANO_NeuralAnnot.json", steps, rng)
    return root


def _time_steps(count: int) -> list[tuple[int, int, str, str]]:
    """Return (capture, frame, folder, hand type) of each time step."""
    single = list(Taxonomy.load("interhand26m").labels)
    steps = []
    for k in range(count):
        capture, inside = k % _CAPTURES, k // _CAPTURES
        one_hand = k % 2 == 0
        folder = single[inside % len(single)] if one_hand else _TWO_HANDS[inside % 4]
        hand = ("left" if folder.startswith("01") else "right") if one_hand else "interacting"
        steps.append((capture, 1_000 + _FRAME_STEP * inside, folder, hand))
    return steps


def _float32(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> list:
    return rng.uniform(low, high, shape).astype(np.float32).tolist()


def _flags_text(hand: str, dropped: int) -> str:
    shown = {"right": range(21), "left": range(21, 42), "interacting": range(42)}[hand]
    return str([[int(j in shown and j != dropped)] for j in range(42)])


def _write_data(
    path: Path,
    steps: list[tuple[int, int, str, str]],
    cameras: list[str],
    count: int,
    rng: np.random.Generator,
) -> None:
    flags = {
        (hand, dropped): _flags_text(hand, dropped)
        for hand in ("right", "left", "interacting")
        for dropped in range(42)
    }
    views = [(k, v) for k in range(len(steps)) for v in range(_VIEWS)][:count]
    with path.open("w") as file:
        file.write('{"images": [')
        for i, (k, v) in enumerate(views):
            file.write(", " * (i > 0) + _image_text(i, steps[k], cameras[(k + 2 * v) % _CAMERAS]))
        file.write('], "annotations": [')
        for k, (_, _, _, hand) in enumerate(steps):
            boxes = _float32(rng, (_VIEWS, 4), 20.0, 150.0)
            dropped = rng.integers(0, 42, _VIEWS).tolist()
            for v in range(min(_VIEWS, count - k * _VIEWS)):
                i = k * _VIEWS + v
                text = _annotation_text(_id(i), boxes[v], flags[hand, dropped[v]], hand)
                file.write(", " * (i > 0) + text)
        file.write("]}")


def _id(i: int) -> int:
    return i + i // _IDS_PER_GAP  # ids are unique and ascending, with gaps


def _image_text(i: int, step: tuple[int, int, str, str], camera: str) -> str:
    capture, frame, folder, _ = step
    width, height = (512, 334) if camera.endswith("7") else (334, 512)
    name = f"Capture{capture}/{folder}/cam{camera}/image{frame}.jpg"
    return (
        f'{{"id": {_id(i)}, "file_name": "{name}", "width": {width}, "height": {height}, '
        f'"capture": {capture}, "subject": {(capture * 7) % 21}, "seq_name": "{folder}", '
        f'"camera": "{camera}", "frame_idx": {frame}}}'
    )


def _annotation_text(number: int, box: list[float], flags: str, hand: str) -> str:
    return (
        f'{{"id": {number}, "image_id": {number}, "bbox": {box}, "joint_valid": {flags}, '
        f'"hand_type": "{hand}", "hand_type_valid": 1}}'
    )


def _write_cameras(path: Path, cameras: list[str], rng: np.random.Generator) -> None:
    names = ("campos", "camrot", "focal", "princpt")
    captures: dict[str, dict] = {}
    for capture in range(_CAPTURES):
        numbers = [_calibration(rng) for _ in cameras]
        captures[str(capture)] = {
            name: {camera: of[k] for camera, of in zip(cameras, numbers, strict=True)}
            for k, name in enumerate(names)
        }
    path.write_text(json.dumps(captures))


def _calibration(rng: np.random.Generator) -> tuple[list, ...]:
    """Centre, rotation, focal lengths and principal point of a camera that faces the hands."""
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    centre = -rotation.T @ [0.0, 0.0, _DISTANCE_MM]
    plain = [values.astype(np.float32).tolist() for values in (centre, rotation)]
    return (*plain, _float32(rng, (2,), 1_255.0, 1_290.0), _float32(rng, (2,), 150.0, 250.0))


def _hands_mm(rng: np.random.Generator) -> list:
    """42 joints in the order of the files: two flat hands near the origin."""
    angles = np.radians([130.0, 105.0, 90.0, 75.0, 60.0])
    fingers = np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)[:, None]
    hand = np.concatenate([(fingers * _JOINT_RADII_MM[:, None]).reshape(-1, 3), np.zeros((1, 3))])
    centres = rng.uniform(-100.0, 100.0, (2, 1, 3))
    return (hand + centres).reshape(-1, 3).astype(np.float32).tolist()


def _write_joints(
    path: Path, steps: list[tuple[int, int, str, str]], rng: np.random.Generator
) -> None:
    captures: dict[str, dict] = {}
    for capture, frame, folder, hand in steps:
        shown = {"right": range(21), "left": range(21, 42), "interacting": range(42)}[hand]
        world = _hands_mm(rng)
        captures.setdefault(str(capture), {})[str(frame)] = {
            "world_coord": [xyz if j in shown else [1.0] * 3 for j, xyz in enumerate(world)],
            "joint_valid": [[j in shown] for j in range(42)],
            "hand_type": hand,
            "hand_type_valid": True,
            "seq": folder,
        }
    path.write_text(json.dumps(captures))


def _write_fits(
    path: Path, steps: list[tuple[int, int, str, str]], rng: np.random.Generator
) -> None:
    captures: dict[str, dict] = {}
    for k, (capture, frame, _, hand) in enumerate(steps):
        if k % 50 == 49:
            continue  # some time steps have no entry
        captures.setdefault(str(capture), {})[str(frame)] = {
            side: {
                "pose": _float32(rng, (48,), -1.0, 1.0),
                "shape": _float32(rng, (10,), -2.0, 2.0),
                "trans": _float32(rng, (3,), -1.0, 1.0),
            }
            if hand in (side, "interacting")
            else None
            for side in ("right", "left")
        }
    path.write_text(json.dumps(captures))
