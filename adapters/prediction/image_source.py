"""Read a user's images: files, folders and videos, as upright RGB bytes.

Images are decoded as a viewer shows them: rotated according to EXIF, grey expanded to three equal
channels, 16 bits reduced to the upper 8, alpha dropped. All pixel coordinates, of boxes and of
results, refer to the upright image.
"""

import glob
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from adapters.prediction.intrinsics import Intrinsics
from gesture_pretrain.data.folders import IMAGE_SUFFIXES
from gesture_pretrain.data.images.decoding import (
    UnreadableImage,
    decode_image,
    image_size_wh,
)
from gesture_pretrain.weights.record import CARD_FILE

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
# Some containers state only a length in seconds, which rounds to one frame more or fewer.
_FRAMES_OF_ROUNDING = 1


class UnreadableInput(ValueError):
    """An image or video file that cannot be read."""


class SeenImage(NamedTuple):
    """One image that was read.

    Attributes:
        name: File name.
        image_rgb: `(H, W, 3)` uint8.
        frame: Number in its video, from 0; None for an image file.
        camera: Its camera; None if not known.
    """

    name: str
    image_rgb: np.ndarray
    frame: int | None = None
    camera: Intrinsics | None = None


@dataclass(frozen=True)
class ImageList:
    """Image files, in order.

    Attributes:
        paths: The files.
        unreadable: Reason by file name, filled during iteration.
    """

    paths: tuple[Path, ...]
    unreadable: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[SeenImage]:
        """Yield the readable images."""
        for path in self.paths:
            try:
                yield SeenImage(path.name, read_image(path))
            except UnreadableInput as error:
                self.unreadable[path.name] = str(error)


@dataclass
class VideoFile:
    """The frames of a video.

    Attributes:
        path: The file.
        every: Yield every n-th frame, starting with the first.
        frames_per_s: Frame rate of the yielded frames; the file's rate defaults to 25.
        frames_stated: Number of frames stated by the file; 0 if it states none.
        frames_read: Number of frames decoded so far, including skipped ones.
    """

    path: Path
    every: int = 1
    frames_per_s: float = field(init=False)
    frames_stated: int = field(init=False)
    frames_read: int = field(default=0, init=False)

    def __post_init__(self):
        if self.every < 1:
            raise ValueError(f"every is {self.every}; 1 gives each frame, 2 every other one")
        capture = _open_video(self.path)
        stated, rate = (capture.get(k) for k in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
        capture.release()
        self.frames_stated = max(int(stated), 0)
        self.frames_per_s = (rate if np.isfinite(rate) and rate > 0 else 25.0) / self.every

    def __len__(self) -> int:
        return -(-self.frames_stated // self.every)

    def __iter__(self) -> Iterator[SeenImage]:
        """Yield frames until the file ends or cannot be decoded further; see `ended_early`."""
        capture = _open_video(self.path)
        self.frames_read = 0
        try:
            while True:
                there, frame_bgr = capture.read()
                if not there:
                    break
                number, self.frames_read = self.frames_read, self.frames_read + 1
                if number % self.every == 0:
                    image = np.ascontiguousarray(frame_bgr[..., ::-1])
                    yield SeenImage(self.path.name, image, number)
        finally:
            capture.release()
        if self.frames_read == 0:
            raise UnreadableInput(f"no frame of the video {self.path} can be read")

    @property
    def ended_early(self) -> str | None:
        """Describe missing frames, after iteration; None if all stated frames were decoded."""
        if self.frames_read >= self.frames_stated - _FRAMES_OF_ROUNDING:
            return None
        return (
            f"{self.path} ends early: only {self.frames_read} of the stated {self.frames_stated} "
            "frames could be read. The results cover those."
        )


def find_images(inputs: Sequence[str | PathLike], *, every: int = 1) -> list[ImageList | VideoFile]:
    """Find images and videos by path or in folders.

    Args:
        inputs: Files, folders and patterns such as `photos/*.jpg`. Folders are searched without
            their subfolders, in order of name, ignoring hidden files.
        every: See `VideoFile`.

    Returns:
        All image files together, if there are any, then each video.

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: A folder without images and videos, the folder of a stored network, an unknown
            file type, or two files with the same name.
        UnreadableInput: A video cannot be opened.
    """
    files = [path for entry in inputs for path in _files_of(Path(entry))]
    _require_different_names(files)
    images = tuple(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    found: list[ImageList | VideoFile] = [ImageList(images)] if images else []
    return found + [VideoFile(path, every) for path in videos]


def read_image(path: str | PathLike) -> np.ndarray:
    """Read an image file as `(H, W, 3)` uint8, RGB, upright.

    Raises:
        UnreadableInput: The file is missing, not an image, damaged or truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableInput(f"there is no image {path}")
    try:
        image_size_wh(path)
        _require_undamaged(path)
        return decode_image(path, cv2.IMREAD_COLOR_RGB)
    except UnreadableImage as error:
        raise UnreadableInput(
            f"{path} is not a readable image ({path.stat().st_size} bytes; {error}). Fetch it "
            "again, or export it as JPEG or PNG."
        ) from None


def _require_undamaged(path: Path) -> None:
    """Decode with Pillow, which reports damage that OpenCV fills with grey."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                image.load()
    except Exception as error:  # damage makes Pillow's readers raise errors of any class
        raise UnreadableImage(str(error)) from None


def _files_of(entry: Path) -> list[Path]:
    known = sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    if not entry.exists() and (matching := sorted(glob.glob(str(entry)))):
        return [path for match in matching for path in _files_of(Path(match))]
    if (entry / CARD_FILE).is_file():
        raise ValueError(f"{entry} is a stored network, not images. Pass it as `model` (--model).")
    if entry.is_dir():
        inside = [path for path in sorted(entry.iterdir()) if path.is_file()]
        found = [p for p in inside if p.suffix.lower() in known and not p.name.startswith(".")]
        if not found:
            raise ValueError(
                f"the folder {entry} holds no image and no video ({len(inside)} other files; "
                f"subfolders are not searched). Looked for {', '.join(known)}."
            )
        return found
    if not entry.exists():
        raise FileNotFoundError(f"there is no file or folder {entry}, and no file matches it")
    if entry.suffix.lower() not in known:
        raise ValueError(f"{entry} has an unknown type; allowed: {', '.join(known)}, or a folder")
    return [entry]


def _require_different_names(files: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in files:
        if seen.setdefault(path.name, path) is not path:
            raise ValueError(
                f"{seen[path.name]} and {path} have the same name, which results are filed under. "
                "Rename one, or predict them in two runs."
            )


def _open_video(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise UnreadableInput(
            f"{path} is not a readable video ({path.stat().st_size} bytes). It may be truncated, "
            "or use a codec that OpenCV was built without. Convert it to MP4."
        )
    return capture
