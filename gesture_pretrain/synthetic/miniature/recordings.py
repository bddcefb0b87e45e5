"""Plan of the miniature: captures, people, sequences and frames, as in the real release.

val has range-of-motion (ROM) sequences only, test has captures with ROM and captures with gestures,
and train has gestures, two-hand sequences and ROM. Capture numbers restart in every split.
"""

from typing import NamedTuple

import numpy as np

from gesture_pretrain.synthetic.gestures import gesture_folders

HANDS = ("right", "left")
BOTH = "interacting"
# split -> capture -> subject; a person may be in several captures, and numbers have gaps
SUBJECTS = {
    "train": {0: 3, 1: 0, 2: 0, 5: 8},
    "val": {0: 11},
    "test": {0: 12, 1: 13, 2: 12, 4: 14},
}
ROM_CAPTURES = {("val", 0), ("test", 0), ("test", 1)}
FRAME_STEP = {"train": 18, "val": 6, "test": 6}
GESTURES = ("fist", "thumbup_normal", "aokay", "indexpoint", "palmdown", "rocker", "claws", "cup")

_ROM = {
    "ROM01_No_Interaction_2_Hand": BOTH,
    "ROM03_LT_No_Occlusion": "left",
    "ROM03_RT_No_Occlusion": "right",
    "ROM07_Rt_Finger_Occlusions": "right",
}
_TWO_HANDS = {"0264_dh_interlockedfingers": BOTH, "0281_golfclaprol": BOTH}
_FIRST_FRAME = 1207
_NEUTRAL = "neutral_relaxed"


class Recording(NamedTuple):
    """One sequence of a capture.

    Attributes:
        split, capture, subject: Split, capture and recorded subject.
        folder: Name of the sequence.
        hand_type: "right", "left" or "interacting", as the name of the sequence implies.
        frames: (F,) frame numbers.
        poses: Two names of poses between which the fingers move.
        amount: (F,) progress from the first pose (0) to the second (1).
    """

    split: str
    capture: int
    subject: int
    folder: str
    hand_type: str
    frames: tuple[int, ...]
    poses: tuple[str, str]
    amount: tuple[float, ...]

    @property
    def hands(self) -> tuple[str, ...]:
        """Return the recorded hands."""
        return HANDS if self.hand_type == BOTH else (self.hand_type,)


def plan_recordings(*, gestures: int, frames: int, seed: int) -> list[Recording]:
    """Plan all recordings.

    Args:
        gestures: Number of gestures per hand.
        frames: Number of frames per recording.
        seed: Seed of the range-of-motion recordings.
    """
    rng = np.random.default_rng([seed, 1])
    recordings = []
    for split, captures in SUBJECTS.items():
        for capture, subject in captures.items():
            first = _FIRST_FRAME
            for folder, hand_type, pose in _sequences(split, capture, gestures):
                numbers = tuple(first + FRAME_STEP[split] * k for k in range(frames))
                first = numbers[-1] + 7 * FRAME_STEP[split]
                start, amount = _NEUTRAL, _there_and_back(frames)
                if pose is None:
                    start, pose = (str(name) for name in rng.choice(GESTURES, 2, replace=False))
                    amount = rng.uniform(0, 1, frames)
                recordings.append(
                    Recording(
                        split, capture, subject, folder, hand_type, numbers,
                        (start, pose), tuple(float(value) for value in amount),
                    )
                )  # fmt: skip
    return recordings


def _sequences(split: str, capture: int, gestures: int) -> list[tuple[str, str, str | None]]:
    """Return (folder, hand type, pose) of each sequence; the pose is None in a range of motion."""
    rom = [(folder, hand_type, None) for folder, hand_type in _ROM.items()]
    if (split, capture) in ROM_CAPTURES:
        return rom
    found = [(f.folder, f.hand, f.pose_name) for f in gesture_folders(list(GESTURES[:gestures]))]
    found += [(folder, hand_type, None) for folder, hand_type in _TWO_HANDS.items()]
    if (split, capture) == ("train", 5):
        found += [rom[2], ("0390_dh_touchROM", BOTH, None)]
    return found


def _there_and_back(frames: int) -> np.ndarray:
    """Return (F,) from neutral to the gesture and back: 0 at both ends, 1 in the middle."""
    position = np.linspace(0, 1, frames)
    return np.clip(np.minimum(position, 1 - position) / 0.3, 0, 1)
