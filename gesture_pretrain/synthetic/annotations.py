"""Annotation files of the embedded dataset, in the exact schema of InterHand2.6M v1.0."""

import json
from pathlib import Path

import numpy as np

from gesture_pretrain.geometry.boxes import tight_box
from gesture_pretrain.skeleton import INTERHAND_FROM_MANO21, JOINT_NAMES_INTERHAND
from gesture_pretrain.synthetic.background import PACKAGE_PHOTOGRAPHS
from gesture_pretrain.synthetic.gestures import GestureFolder
from gesture_pretrain.synthetic.plan import Chunk, FramePlan, Settings, Subject
from gesture_pretrain.synthetic.rig import Camera, Placement
from gesture_pretrain.synthetic.scene import View

LICENCE = "CC0-1.0 (images and annotations; the hand derives from MakeHuman's CC0 base mesh)"
TIP_CONVENTION = "smplx"

_BOX_RATIO = 1.2
_FILLER_MM = [1.0, 1.0, 1.0]


def floats(values) -> list:
    """Convert to nested lists of doubles with exact float32 values, as in the real files."""
    return np.asarray(values, dtype=np.float32).tolist()


def _hand_rows(hand: str, rows: list, other: list) -> list:
    """Return 42 rows, right hand first, with a filler for the other hand."""
    return rows + [other] * 21 if hand == "right" else [other] * 21 + rows


def joint_note(folder: GestureFolder, joints_m: np.ndarray) -> dict:
    """Make an entry of the 3D joint file from (21, 3) mano21 joints, world frame, m."""
    joints_mm = floats(1000 * joints_m[list(INTERHAND_FROM_MANO21)])
    return {
        "world_coord": _hand_rows(folder.hand, joints_mm, _FILLER_MM),
        "joint_valid": _hand_rows(folder.hand, [[True]] * 21, [False]),
        "hand_type": folder.hand,
        "hand_type_valid": True,
        "seq": folder.folder,
    }


def mano_note(hand: str, placement: Placement, pose: np.ndarray, shape: np.ndarray) -> dict:
    """Make an entry of the MANO file from finger pose (45,), rad, and shape (10,) of a hand."""
    fit = {
        "pose": floats(np.concatenate([placement.rotation_vector, pose])),
        "shape": floats(shape),
        "trans": floats(placement.trans_m),
    }
    return {"right": None, "left": None, hand: fit}


def image_notes(
    subject: Subject, plan: FramePlan, image_id: int, view: View, settings: Settings
) -> tuple[dict, dict]:
    """Make the entries of an image and its annotation; the box is tight around joints in view."""
    camera, folder = view.camera.name, plan.folder
    name = f"Capture{subject.capture}/{folder.folder}/cam{camera}/image{plan.frame_idx}.jpg"
    image = {
        "id": image_id,
        "file_name": name,
        "width": settings.size_px,
        "height": settings.size_px,
        "capture": subject.capture,
        "subject": subject.number,
        "seq_name": folder.folder,
        "camera": camera,
        "frame_idx": plan.frame_idx,
    }
    valid = [[int(inside)] for inside in view.in_view[list(INTERHAND_FROM_MANO21)]]
    annotation = {
        "id": image_id,
        "image_id": image_id,
        "bbox": floats(tight_box(view.keypoints_px, view.in_view, ratio=_BOX_RATIO)),
        "joint_valid": _hand_rows(folder.hand, valid, [0]),
        "hand_type": folder.hand,
        "hand_type_valid": 1,
    }
    return image, annotation


def camera_note(cameras: list[Camera]) -> dict:
    """Return a capture's calibration: centres in mm, world frame; rotations world to camera."""
    return {
        "campos": {c.name: floats(c.center_mm) for c in cameras},
        "camrot": {c.name: floats(c.R_cam_world) for c in cameras},
        "focal": {c.name: floats(c.focal_px) for c in cameras},
        "princpt": {c.name: floats(c.princpt_px) for c in cameras},
    }


def write_split(folder: Path, split: str, parts: dict) -> None:
    """Write the four annotation files of a split into a new folder."""
    folder.mkdir(parents=True)
    names = {"data": "data", "camera": "camera", "joint_3d": "joint_3d", "mano": "MANO_NeuralAnnot"}
    for part, name in names.items():
        path = folder / f"InterHand2.6M_{split}_{name}.json"
        path.write_text(json.dumps(parts[part]), encoding="utf-8")


def _photograph_licences(settings: Settings) -> str:
    """Describe the licences of the backgrounds."""
    if settings.second_edition is None:
        return ""
    photographs = settings.second_edition.photographs
    names = [name for of_split in photographs.values() for name in of_split]
    used = {p: any(name.startswith(f"{p}/") for name in names) for p in PACKAGE_PHOTOGRAPHS}
    notes = [f"{p}: {PACKAGE_PHOTOGRAPHS[p].licence}" for p in PACKAGE_PHOTOGRAPHS if used[p]]
    if any(not name.startswith(tuple(f"{p}/" for p in PACKAGE_PHOTOGRAPHS)) for name in names):
        notes.append("photographs from a folder: licences unknown")
    return "".join(f"; backgrounds of {note}" for note in notes)


def write_scenes(folder: Path, split: str, parts: dict) -> None:
    """Write each image's background and visible fraction of the hand, and each frame's light.

    A comparison of two splits' files shows that they share no background and no light.
    """
    folder.mkdir(exist_ok=True)
    scenes = {"images": parts["scenes"], "lights": parts["lights"]}
    (folder / f"{split}.json").write_text(json.dumps(scenes), encoding="utf-8")


def write_skeleton(root: Path) -> None:
    """Write the names and parents of the 42 joints."""
    rows = ["# joint_name joint_id joint_parent_id"]
    for side, offset in (("r", 0), ("l", 21)):
        for index, joint in enumerate(JOINT_NAMES_INTERHAND):
            base = joint == "wrist"
            parent = -1 if base else offset + (20 if joint.endswith("1") else index + 1)
            rows.append(f"{side}_{joint} {offset + index} {parent}")
    (root / "annotations" / "skeleton.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_lists(staging: Path, settings: Settings, chunks: list[Chunk]) -> None:
    """Write the files shared by all splits: skeleton, subjects and the card of the data."""
    people = {chunk.subject.number: chunk.subject for chunk in chunks}
    write_skeleton(staging)
    write_subjects(staging, [(n, s.split, s.capture) for n, s in sorted(people.items())])
    write_card(
        staging,
        {
            "synthetic": True,
            "description": "Rendered hands in the layout of InterHand2.6M v1.0; not photographs.",
            "licence": LICENCE + _photograph_licences(settings),
            "seed": settings.seed,
            "images": settings.images_per_split,
            "tip_convention": TIP_CONVENTION,
            "parameters": settings.as_json(),
        },
    )


def write_subjects(root: Path, recorded: list[tuple[int, str, int]]) -> None:
    """Write who was recorded: subject, split and capture."""
    rows = ["# subject_id subject_directory gender"]
    rows += [f"{subject} {split}/Capture{c} unspecified" for subject, split, c in recorded]
    (root / "annotations" / "subject.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_card(root: Path, card: dict) -> None:
    """Write the description of a rendered dataset."""
    text = json.dumps(card, indent=2, sort_keys=True) + "\n"
    (root / "synthetic.json").write_text(text, encoding="utf-8")
