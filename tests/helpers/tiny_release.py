"""A made-up dataset in InterHand2.6M's layout that contains the traps of the real one."""

import json
from pathlib import Path

import cv2
import numpy as np

CAMERAS = ("400002", "410015")  # colour, monochrome
SIZES_WH = {"400002": (334, 512), "410015": (512, 334)}  # portrait, landscape
# capture -> frame -> (folder, hand type); capture numbers start again in each split
MOMENTS = {
    0: {100: ("0007_thumbup_normal", "right"), 118: ("0107_thumbup_normal", "left")},
    3: {100: ("0390_dh_touchROM", "interacting"), 136: ("0007_thumbup_normal", "right")},
}


class TinyRelease:
    """Annotations of some splits as Python objects (`json[split][kind]`), and their writer."""

    def __init__(self, splits=("train", "val"), seed=0):
        self.rng = np.random.default_rng(seed)
        self.json = {split: self._split(first_id) for first_id, split in enumerate(splits, 10)}

    def _small(self, count):
        return self.rng.uniform(-1, 1, count).astype(np.float32).tolist()

    def _split(self, first_id):
        images, annotations, joints, fits = [], [], {}, {}
        for capture, frames in MOMENTS.items():
            for frame, (folder, hand) in frames.items():
                joints.setdefault(str(capture), {})[str(frame)] = self._joints(hand)
                fits.setdefault(str(capture), {})[str(frame)] = self._fits(hand)
                for camera in CAMERAS:
                    number = first_id + 7 * len(images) ** 2  # ids have gaps
                    images.append(self._image(number, capture, folder, camera, frame))
                    annotations.append(self._annotation(number, hand))
        del fits["3"]["136"]  # an absent frame; the null hands are in _fits
        return {
            "data": {"images": images, "annotations": annotations[::-1]},  # not in image order
            "camera": {str(capture): self._calibration() for capture in MOMENTS},
            "joint_3d": joints,
            "MANO_NeuralAnnot": fits,
        }

    def _image(self, number, capture, folder, camera, frame):
        width, height = SIZES_WH[camera]
        return {
            "id": number,
            "file_name": f"Capture{capture}/{folder}/cam{camera}/image{frame}.jpg",
            "width": width,
            "height": height,
            "capture": capture,
            "subject": capture + 5,
            "seq_name": folder,
            "camera": camera,
            "frame_idx": frame,
        }

    def _annotation(self, number, hand):
        shown = self._shown(hand) & (self.rng.random(42) < 0.8)  # some are outside the view
        return {
            "id": number,
            "image_id": number,
            "bbox": self.rng.uniform(20, 200, 4).astype(np.float32).tolist(),
            "joint_valid": [[int(flag)] for flag in shown],
            "hand_type": hand,
            "hand_type_valid": 1,
        }

    def _shown(self, hand):
        return np.repeat([hand != "left", hand != "right"], 21)

    def _joints(self, hand):
        known = self._shown(hand) & (np.arange(42) % 10 != 3)  # some were not triangulated
        world = self._hands_mm()
        return {
            "world_coord": [
                xyz if k else [1.0, 1.0, 1.0] for xyz, k in zip(world, known, strict=True)
            ],
            "joint_valid": [[bool(flag)] for flag in known],
            "hand_type": hand,
            "hand_type_valid": True,
        }

    def _fits(self, hand):
        return {
            side: {"pose": self._small(48), "shape": self._small(10), "trans": self._small(3)}
            if hand in (side, "interacting")
            else None
            for side in ("right", "left")
        }

    def _hands_mm(self):
        """Two flat hands near the origin, in the order of the files."""
        angles = np.radians([130, 105, 90, 75, 60])
        fingers = np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)[:, None]
        hand = np.append((fingers * [[145], [120], [95], [70]]).reshape(-1, 3), [[0, 0, 0]], 0)
        hands = hand + self.rng.uniform(-100, 100, (2, 1, 3))
        return hands.reshape(-1, 3).astype(np.float32).tolist()

    def _calibration(self):
        files = {name: {} for name in ("campos", "camrot", "focal", "princpt")}
        for camera in CAMERAS:
            rotation = np.linalg.qr(self.rng.normal(size=(3, 3)))[0]
            rotation *= np.sign(np.linalg.det(rotation))
            values = (-rotation.T @ [0, 0, 1200], rotation, self.rng.uniform(1255, 1290, 2))
            values += (self.rng.uniform(150, 250, 2),)
            for numbers, content in zip(values, files.values(), strict=True):
                content[camera] = numbers.astype(np.float32).tolist()
        return files

    def write(self, root: Path, layout="v1.0", indent=None) -> Path:
        for split, files in self.json.items():
            folder = root / "annotations" / (split if layout == "v1.0" else "all")
            folder.mkdir(parents=True, exist_ok=True)
            for kind, content in files.items():
                path = folder / f"InterHand2.6M_{split}_{kind}.json"
                path.write_text(json.dumps(content, indent=indent))
        return root

    def write_images(self, root: Path) -> Path:
        for split, files in self.json.items():
            for image in files["data"]["images"]:
                path = root / "images" / split / image["file_name"]
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.full((image["height"], image["width"], 3), 90, np.uint8)
                cv2.imwrite(str(path), pixels)
        return root
