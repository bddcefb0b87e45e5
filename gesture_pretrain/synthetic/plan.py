"""Plan of the embedded dataset, made before anything is rendered.

Every person, frame and image has its own random stream, a counter-based generator keyed by
the seed and its purpose, so nothing depends on the order or process of its use.
"""

import json
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from gesture_pretrain.schema import Fraction, section
from gesture_pretrain.synthetic.gestures import GestureFolder
from gesture_pretrain.synthetic.poses import CONTINUOUS_FOLDERS
from gesture_pretrain.synthetic.rig import (
    Camera,
    ViewLimits,
    draw_any_lens,
    draw_studio_lens,
    make_rig,
)

SPLITS = ("train", "val", "test")
Split = Literal[SPLITS]
# Defaults of the second edition: fraction of takes without a gesture, and frames of a take
CONTINUOUS, FRAMES_PER_TAKE = 0.4, 6
GENERATOR_VERSION = 1  # raise it whenever the same seed would give other bytes

_FRAMES_PER_CHUNK = 16  # fixed: the batch of the hand model decides its rounding
_FRAMES_BETWEEN_TAKES = 10
_FRAME_STEP = {"train": 18, "val": 6, "test": 6}
_STREAMS = {"split": 1, "subject": 2, "frame": 3, "view": 4, "detection": 5, "grey": 6, "take": 7}


class Subject(NamedTuple):
    """One person and their capture."""

    split: str
    capture: int
    number: int  # unique over the splits
    cameras: list[Camera]


class FramePlan(NamedTuple):
    """Plan of a frame."""

    number: int  # unique in the split
    frame_idx: int  # as written in the files, unique in the capture
    folder: GestureFolder
    image_ids: list[int]  # one per view
    take: int  # number of the frame's take, unique in the split
    moment: int  # which frame of the take it is
    take_length: int


class Chunk(NamedTuple):
    """A subject's consecutive frames: the unit of work of a process."""

    subject: Subject
    frames: list[FramePlan]
    images_root: str


@section
class SecondEdition:
    """Options of edition 2; see `write_synthetic`."""

    continuous: dict[Split, Fraction] = field(
        default_factory=lambda: dict.fromkeys(SPLITS, CONTINUOUS)
    )
    frames_per_take: Annotated[int, Field(ge=1, le=1000)] = FRAMES_PER_TAKE
    steady: bool = False
    # split -> name -> hash of the content
    photographs: dict[str, dict[str, str]] = field(
        default_factory=lambda: {split: {} for split in SPLITS}
    )


@section
class Settings:
    """All settings that determine the bytes of the dataset; see `write_synthetic`."""

    images_per_split: Annotated[dict[Split, PositiveInt], Field(min_length=1)]
    size_px: Annotated[int, Field(ge=32, le=1024)]
    cameras_per_frame: Annotated[int, Field(ge=1, le=24)]
    view_limit_deg: Annotated[float, Field(ge=15, le=90)] | None
    roll_limit_deg: Annotated[float, Field(ge=1, le=180)] | None
    view_side: Literal["palm", "back", "both"]
    subjects: dict[Split, PositiveInt]
    seed: Annotated[int, Field(ge=0, le=2**63)]
    gestures: list[str] | None
    generator_version: int = GENERATOR_VERSION
    grey_cameras: Annotated[int, Field(ge=0, le=24)] = 0
    second_edition: SecondEdition | None = None  # None: the first edition

    def __post_init__(self):
        if self.view_side != "both" and self.view_limit_deg is None:
            raise ValueError(f"view_side={self.view_side!r} needs a view_limit_deg, 15 to 90")

    @property
    def limits(self) -> ViewLimits:
        """Return the limits of the cameras' views of the hand."""
        return ViewLimits(self.view_limit_deg, self.roll_limit_deg, self.view_side)

    def as_json(self) -> dict:
        """Return plain JSON values, as stored with the images."""
        values = json.loads(json.dumps(asdict(self)))
        if not self.grey_cameras:
            del values["grey_cameras"]  # as in datasets from before the option existed
        if self.second_edition is None:  # as before edition 2 existed
            del values["second_edition"]
        return values


def stream(seed: int, kind: str, split: str, number: int, slot: int = 0) -> np.random.Generator:
    """Return the random stream of a split, subject, frame or view."""
    word = _STREAMS[kind] << 56 | SPLITS.index(split) << 48 | number << 16 | slot
    return np.random.Generator(np.random.Philox(key=[seed, word]))


def make_plan(settings: Settings, folders: list[GestureFolder], images_root: Path) -> list[Chunk]:
    """Plan the subjects, gestures and frames; subject numbers are unique over the splits."""
    chunks, number = [], 0
    for split in SPLITS:
        first_subject, number = number, number + settings.subjects[split]
        if split in settings.images_per_split:
            chunks += _plan_split(settings, split, first_subject, folders, images_root)
    return chunks


def _plan_split(settings, split, first_subject, folders, images_root) -> list[Chunk]:
    """Deal takes to a split's subjects. A take of edition 1 is one frame."""
    rng = stream(settings.seed, "split", split, 0)
    views, edition = settings.cameras_per_frame, settings.second_edition
    length, gap = (1, 0) if edition is None else (edition.frames_per_take, _FRAMES_BETWEEN_TAKES)
    num_frames = -(-settings.images_per_split[split] // views)
    num_takes = -(-num_frames // length)
    if edition is None:
        shown = _rounds(rng, folders, num_takes)
    else:
        shown = _folders_of_takes(rng, num_takes, edition.continuous[split], folders)
    ids = np.cumsum(rng.choice([1, 1, 1, 2, 4], settings.images_per_split[split])).tolist()
    first_idx = 1000 + int(rng.integers(20000))
    chunks = []
    takes_of = np.array_split(np.arange(num_takes), settings.subjects[split])
    for capture, takes in enumerate(takes_of):
        subject = _subject(settings, split, capture, first_subject + capture)
        plans = [
            FramePlan(
                number=n,
                frame_idx=first_idx + _FRAME_STEP[split] * (n + gap * take),
                folder=shown[take],
                image_ids=ids[views * n : views * (n + 1)],
                take=take,
                moment=n % length,
                take_length=length,
            )
            for take in takes.tolist()
            for n in range(length * take, min(length * (take + 1), num_frames))
        ]
        per_chunk = length * max(1, _FRAMES_PER_CHUNK // length)  # whole takes
        for start in range(0, len(plans), per_chunk):
            part = plans[start : start + per_chunk]
            chunks.append(Chunk(subject, part, str(images_root / split)))
    return chunks


def _folders_of_takes(rng, num_takes: int, continuous: float, folders) -> list[GestureFolder]:
    """Choose the folder of each take of edition 2: a gesture, or continuous poses."""
    num_continuous = round(continuous * num_takes)
    hands = {folder.hand for folder in folders}
    without_gesture = [folder for folder in CONTINUOUS_FOLDERS if folder.hand in hands]
    shown = _rounds(rng, folders, num_takes - num_continuous)
    shown += _rounds(rng, without_gesture, num_continuous)
    return [shown[k] for k in rng.permutation(num_takes)]


def _rounds(rng: np.random.Generator, folders: list, count: int) -> list[GestureFolder]:
    """List `count` folders in shuffled rounds through all of them."""
    rounds = -(-count // len(folders))
    order = [k for _ in range(rounds) for k in rng.permutation(len(folders))]
    return [folders[k] for k in order[:count]]


def _subject(settings: Settings, split: str, capture: int, number: int) -> Subject:
    rng = stream(settings.seed, "subject", split, number, slot=1)
    num_cameras, elevation = 24, 90.0
    if settings.view_limit_deg is not None:  # enough cameras that several are within the limit
        sides = 2 if settings.view_side == "both" else 1
        share = sides * (1 - np.cos(np.deg2rad(settings.view_limit_deg))) / 2
        num_cameras = max(24, int(np.ceil(4 * settings.cameras_per_frame / share)))
    if settings.roll_limit_deg is not None:
        elevation = 50.0
    cameras = make_rig(
        rng,
        size_px=settings.size_px,
        num_cameras=num_cameras,
        max_elevation_deg=elevation,
        draw_lens=draw_studio_lens if settings.second_edition is None else draw_any_lens,
    )
    grey = stream(settings.seed, "grey", split, number).permutation(num_cameras)
    for slot in grey[: settings.grey_cameras]:  # 40xxxx is a colour camera, 41xxxx is not
        cameras[slot] = cameras[slot]._replace(name=f"41{cameras[slot].name[2:]}")
    return Subject(split, capture, number, cameras)
