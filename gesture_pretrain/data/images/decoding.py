"""Safe decoding of image files of unknown origin: regular, complete and not too large.

OpenCV decodes a truncated JPEG without an error, grey below the cut. A complete file has an
end marker, which is found without decoding.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

# 16,000 x 16,000 pixels, 768 MB decoded; OpenCV's own limit is 2^30
LARGEST_PIXELS = 1 << 28
_ORIENTATION = 0x0112  # EXIF tag; values 5 to 8 say that width and height are exchanged
_TAIL_BYTES = 1 << 12
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class UnreadableImage(ValueError):
    """An image file that is missing, damaged, truncated, or too large, as stated in the message."""


def image_size_wh(path: str | Path) -> tuple[int, int]:
    """Return width and height of an image as a viewer shows it, without decoding it.

    Cameras may store an image rotated, with the orientation in its EXIF data; decoders apply it.

    Raises:
        UnreadableImage: The file is not a complete image of at most `LARGEST_PIXELS`.
    """
    _require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                width, height = image.size
                rotated = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception as error:  # damage makes Pillow's readers raise errors of any class
        raise UnreadableImage(f"not a readable image ({type(error).__name__}: {error})") from None
    _require_bearable(width, height)
    with open(path, "rb") as file:
        start = file.read(len(_PNG_START))
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        complete = _has_end(start, file.read())
    if not complete and not _has_end(start, Path(path).read_bytes()):
        raise UnreadableImage("the file is truncated")
    return (height, width) if rotated else (width, height)


def decode_image(path: str | Path, flags: int) -> np.ndarray:
    """Decode an image file with OpenCV.

    Args:
        path: The file.
        flags: Flags of `cv2.imdecode`.

    Raises:
        UnreadableImage: The file is missing, truncated, too large, or not an image.
    """
    _require_file(path)
    content = np.fromfile(path, np.uint8)
    start, tail = content[:8].tobytes(), content[-_TAIL_BYTES:].tobytes()
    if not _has_end(start, tail) and not _has_end(start, content.tobytes()):
        raise UnreadableImage("the file is truncated")
    try:
        image = cv2.imdecode(content, flags) if len(content) else None
    except cv2.error as error:
        raise UnreadableImage(f"OpenCV cannot decode it ({error.err or error})") from None
    if image is None:
        raise UnreadableImage("not an image that OpenCV can decode")
    return image


def _require_file(path: str | Path) -> None:
    if not os.path.isfile(path):  # opening a FIFO would block
        raise UnreadableImage("no such file" if not os.path.exists(path) else "not a regular file")


def _require_bearable(width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > LARGEST_PIXELS:
        raise UnreadableImage(
            f"{width} x {height} px, but only 1 to {LARGEST_PIXELS:,} pixels are allowed"
        )


def _has_end(start: bytes, content: bytes) -> bool:
    """Return whether a JPEG or PNG has its end marker; other formats are taken to be complete."""
    if start.startswith(_JPEG_START):
        # a thumbnail in the head has an end marker, too, but no scan of the image comes after it
        return content.rfind(_JPEG_END) > content.rfind(_JPEG_SCAN)
    if start.startswith(_PNG_START):
        return _PNG_END in content
    return True
