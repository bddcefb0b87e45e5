"""Write the miniature: images and annotation files in the layout of InterHand2.6M v1.0.

It reproduces the irregularities of the real release: ids with gaps, annotations in another order
than images, fits that are null or absent, joints that were not triangulated, hands that are
annotated in one view and not in another, and the same file names in val and test.
"""

from pathlib import Path

import numpy as np

from gesture_pretrain.files import atomic_folder
from gesture_pretrain.geometry.boxes import tight_box
from gesture_pretrain.skeleton import INTERHAND_FROM_MANO21
from gesture_pretrain.synthetic.annotations import (
    camera_note,
    floats,
    write_card,
    write_skeleton,
    write_split,
    write_subjects,
)
from gesture_pretrain.synthetic.detections import (
    DETECTED_SPLITS,
    detection_note,
    write_detections,
)
from gesture_pretrain.synthetic.miniature.cameras import ASPECT, NAMES, View, capture_views
from gesture_pretrain.synthetic.miniature.hands import HandPoser, PosedHands
from gesture_pretrain.synthetic.miniature.recordings import (
    BOTH,
    GESTURES,
    HANDS,
    SUBJECTS,
    Recording,
    plan_recordings,
)
from gesture_pretrain.synthetic.renderer import least_bytes, save_jpeg

NAME = "InterHand2.6M miniature"
LICENCE = "CC0-1.0 (rendered; the hand derives from MakeHuman's CC0 base mesh)"
HUMAN_SPLITS = ("train", "test")  # the splits with a list of human annotations

_FILLER_MM = [1.0, 1.0, 1.0]
_BOX_RATIO = 1.2
_LEAST_JOINTS_IN_VIEW = 8
_LEAST_FRACTION = 0.8  # of the views that are rendered; the others show too little
_MOST_JOINTS_OF_ONE_HAND = 30  # with more of them, a view of two hands has a valid hand type


def write_miniature(
    root: str | Path,
    *,
    gestures: int = 3,
    frames: int = 6,
    cameras: int = 3,
    long_side_px: int = 128,
    seed: int = 0,
) -> Path:
    """Write the miniature into a new folder; an interrupted call leaves nothing behind.

    Args:
        root: Folder to make.
        gestures: Number of gestures per hand, 1 to 8.
        frames: Number of frames per recording, at least 4.
        cameras: Number of cameras per capture, 3 to 8.
        long_side_px: Longer side of the images; the shorter one is 334/512 of it.
        seed: Seed of everything random.

    Returns:
        The folder.

    Raises:
        ValueError: An argument is out of range.
        FileExistsError: The folder exists.
        DiskFull: There is less space than the images need at least; found before rendering. Or
            the disk became full.
    """
    root = Path(root)
    _check(gestures=gestures, frames=frames, cameras=cameras, long_side_px=long_side_px)
    recordings = plan_recordings(gestures=gestures, frames=frames, seed=seed)
    views = cameras * sum(len(recording.frames) for recording in recordings)
    size_wh = long_side_px, round(ASPECT * long_side_px)
    needed = least_bytes(_LEAST_FRACTION * views, size_wh)
    with atomic_folder(root, bytes_needed=needed) as folder:
        poser = HandPoser()
        for split in SUBJECTS:
            writer = _SplitWriter(folder, split, poser, cameras, long_side_px, seed)
            for recording in recordings:
                if recording.split == split:
                    writer.add(recording)
            writer.write()
        write_skeleton(folder)
        _write_lists(folder, seed)
    return root


def _check(**numbers: int) -> None:
    limits = {
        "gestures": (1, len(GESTURES)),
        "frames": (4, 100),
        "cameras": (3, len(NAMES)),
        "long_side_px": (48, 1024),
    }
    for name, number in numbers.items():
        low, high = limits[name]
        if not low <= number <= high:
            raise ValueError(f"{name} is {number}; it must be {low} to {high}.")


class _SplitWriter:
    """Writer of a split's images, and finally its annotation files."""

    def __init__(self, root: Path, split: str, poser: HandPoser, cameras, long_side_px, seed):
        self.root, self.split, self.poser = root, split, poser
        self.rng = np.random.default_rng([seed, 2, list(SUBJECTS).index(split)])
        self.views = {
            capture: capture_views(self.rng, count=cameras, long_side_px=long_side_px)
            for capture in SUBJECTS[split]
        }
        self.next_id, self.steps = 11, 0
        self.detections: list[dict] = []
        self.parts = {
            "data": {"images": [], "annotations": []},
            "camera": {
                str(capture): camera_note([view.camera for view in views])
                for capture, views in self.views.items()
            },
            "joint_3d": {str(capture): {} for capture in self.views},
            "mano": {str(capture): {} for capture in self.views},
        }

    def add(self, recording: Recording) -> None:
        """Add all frames of a recording in all views."""
        hands = self.poser.posed(self.rng, recording)
        for k, frame in enumerate(recording.frames):
            self.steps += 1
            known = self.rng.random((2, 21)) > 0.03
            known &= np.isin(HANDS, recording.hands)[:, None]
            capture, key = str(recording.capture), str(frame)
            joints = _joints_of_both(hands, k)
            self.parts["joint_3d"][capture][key] = self._joint_note(recording, joints, known)
            if self.steps % 17 != 9:  # the others have no entry at all
                self.parts["mano"][capture][key] = self._fit_note(hands, k)
            for view in self.views[recording.capture]:
                if self.rng.random() > 0.1:
                    self._add_view(recording, frame, view, joints, known, hands, k)

    def _add_view(self, recording, frame, view: View, joints, known, hands, k: int) -> None:
        keypoints = view.keypoints_px(joints)
        shown = known & view.inside(keypoints)
        if len(recording.hands) == 2 and self.rng.random() < 0.15:
            shown[self.rng.integers(2)] = False  # visible, but not annotated in this view
        if shown.sum() < _LEAST_JOINTS_IN_VIEW:
            return
        hand_type = _hand_type(shown)
        image = self._image_note(recording, frame, view)
        box = floats(tight_box(keypoints.reshape(-1, 2), shown.ravel(), ratio=_BOX_RATIO))
        self.parts["data"]["images"].append(image)
        self.parts["data"]["annotations"].append(
            {
                "id": image["id"],
                "image_id": image["id"],
                "bbox": box,
                "joint_valid": [[int(flag)] for flag in _in_file_order(shown)],
                "hand_type": hand_type,
                "hand_type_valid": int(hand_type != BOTH or shown.sum() > _MOST_JOINTS_OF_ONE_HAND),
            }
        )
        if self.split in DETECTED_SPLITS:
            depths = view.to_camera_mm(joints[:, 0])[:, 2]
            self.detections.append(self._detection(image["id"], hand_type, box, depths))
        vertices, faces = self._mesh(hands, k)
        path = self.root / "images" / self.split / image["file_name"]
        save_jpeg(path, view.image(self.rng, vertices, faces), quality=90)

    def _mesh(self, hands: dict[str, PosedHands], k: int) -> tuple[np.ndarray, np.ndarray]:
        vertices = [posed.vertices_mm[k] for posed in hands.values()]
        faces = [self.poser.bundled.models[hand].faces + 778 * i for i, hand in enumerate(hands)]
        return np.concatenate(vertices), np.concatenate(faces)

    def _image_note(self, recording: Recording, frame: int, view: View) -> dict:
        self.next_id += int(self.rng.choice([1, 1, 1, 2, 5]))
        folder = f"Capture{recording.capture}/{recording.folder}"
        return {
            "id": self.next_id,
            "file_name": f"{folder}/cam{view.camera.name}/image{frame}.jpg",
            "width": view.size_wh[0],
            "height": view.size_wh[1],
            "capture": recording.capture,
            "subject": recording.subject,
            "seq_name": recording.folder,
            "camera": view.camera.name,
            "frame_idx": frame,
        }

    def _joint_note(self, recording: Recording, joints: np.ndarray, known: np.ndarray) -> dict:
        flags = _in_file_order(known)
        rows = floats(_in_file_order(joints))
        kind = int if self.split == "val" else bool  # both occur
        note = {
            "world_coord": [
                row if flag else _FILLER_MM for row, flag in zip(rows, flags, strict=True)
            ],
            "joint_valid": [[kind(flag)] for flag in flags],
            "hand_type": recording.hand_type,
            "hand_type_valid": kind(True),
        }
        return note if self.split == "test" else {**note, "seq": recording.folder}

    def _fit_note(self, hands: dict[str, PosedHands], k: int) -> dict:
        fits = {hand: None for hand in HANDS}
        for hand, posed in hands.items():
            fits[hand] = {name: floats(values[k]) for name, values in posed.fit.items()}
        if self.steps % 13 == 5:
            fits[next(iter(hands))] = None
        return fits

    def _detection(self, number: int, hand_type: str, box: list, depths_mm: np.ndarray) -> dict:
        shown = "left" if hand_type == "left" else "right"
        note = detection_note(
            self.rng,
            annotation_id=number,
            hand=shown,
            bbox_xywh_px=box,
            wrist_depth_mm=float(depths_mm[HANDS.index(shown)]),
        )
        if hand_type == BOTH:
            note["abs_depth"][1] = float(np.float32(depths_mm[1]))
            note["root_valid"] = [note["root_valid"][0]] * 2
        return note

    def write(self) -> None:
        """Write the annotation files, annotations in another order than images."""
        self.rng.shuffle(self.parts["data"]["annotations"])
        write_split(self.root / "annotations" / self.split, self.split, self.parts)
        if self.split in DETECTED_SPLITS:
            write_detections(self.root, self.split, self.detections)
        if self.split in HUMAN_SPLITS:
            ids = [note["id"] for note in self.parts["data"]["annotations"]][::3]
            path = self.root / "annotations" / f"aid_human_annot_{self.split}.txt"
            path.write_text("".join(f"{number}\n" for number in ids), encoding="utf-8")


def _joints_of_both(hands: dict[str, PosedHands], k: int) -> np.ndarray:
    """Return (2, 21, 3) joints in mm, right hand first; zeros for a hand that is not recorded."""
    joints = np.zeros((2, 21, 3))
    for hand, posed in hands.items():
        joints[HANDS.index(hand)] = posed.joints_mm[k]
    return joints


def _in_file_order(values: np.ndarray) -> np.ndarray:
    """Return (2, 21, ...) values in mano21 order as the 42 rows of the files."""
    ordered = values[:, list(INTERHAND_FROM_MANO21)]
    return ordered.reshape(42, *values.shape[2:])


def _hand_type(shown: np.ndarray) -> str:
    """Return the hand type of a view from its (2, 21) annotated joints."""
    right, left = shown.any(axis=1)
    return BOTH if right and left else HANDS[int(left)]


def _write_lists(root: Path, seed: int) -> None:
    recorded = [(who, split, c) for split, of in SUBJECTS.items() for c, who in of.items()]
    write_subjects(root, recorded)
    card = {
        "synthetic": True,
        "name": NAME,
        "description": "A rendered miniature with the shape of InterHand2.6M; not photographs.",
        "licence": LICENCE,
        "seed": seed,
    }
    write_card(root, card)
