"""Reading a picture's pixels: decoded whole, or at a half, a quarter or an eighth of its size.

A JPEG file can be decoded at a reduced scale, which averages 2 x 2, 4 x 4 or 8 x 8 pixels and saves
most of the work. Where a crop shows at least twice as many pixels as it has, nothing that it could
show is lost: bilinear interpolation would skip pixels that the reduced decode averages.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from gesture_pretrain.data.index.errors import DataError

_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_JPEG_ENDINGS = (".jpg", ".jpeg", ".JPG", ".JPEG")


class Picture(NamedTuple):
    """Stored pixels and where they lie in the original picture.

    Attributes:
        image_rgb: (H, W, 3) uint8.
        step_px: original pixels per stored pixel.
        origin_px: (2,) x and y of the first stored pixel's centre, original pixels.
    """

    image_rgb: np.ndarray
    step_px: float = 1.0
    origin_px: tuple[float, float] = (0.0, 0.0)

    def crop_affine(self, affine: np.ndarray) -> np.ndarray:
        """(2, 3) map stored -> crop pixels, from the map original -> crop pixels."""
        if self.step_px == 1.0 and self.origin_px == (0.0, 0.0):
            return affine
        moved = affine * self.step_px
        moved[:, 2] = affine[:, :2] @ self.origin_px + affine[:, 2]
        return moved


class PictureSource(Protocol):
    """Where a loader's pixels come from."""

    def read(
        self, row: int, file: str, size_wh: tuple[int, int], shrink: float, *, annotated: bool
    ) -> Picture:
        """The picture of a row.

        Args:
            row: row of the index.
            file: its picture's path.
            size_wh: original size by the index.
            shrink: original pixels per crop pixel; finer than that need not be given.
            annotated: pixel coordinates refer to it, so its size must be `size_wh`.

        Raises:
            DataError: missing, unreadable, or of another size.
        """
        ...


class PictureFiles:
    """The picture files of a data set.

    Args:
        reduced_decode: decode JPEG files at a reduced scale where the crop allows it.
    """

    def __init__(self, *, reduced_decode: bool = True):
        self.reduced_decode = reduced_decode

    def read(
        self, row: int, file: str, size_wh: tuple[int, int], shrink: float, *, annotated: bool
    ) -> Picture:
        """See `PictureSource.read`."""
        factor = reduction(shrink) if self.reduced_decode and file.endswith(_JPEG_ENDINGS) else 1
        image = read_image_rgb(file, row, reduce=factor)
        height, width = image.shape[:2]
        if annotated or factor > 1:
            expected = tuple(-(-side // factor) for side in size_wh)
            if (width, height) != expected:
                raise size_error(row, file, (width * factor, height * factor), size_wh)
        return Picture(image) if factor == 1 else _reduced(image, factor)


class WholePictures:
    """The pictures of another source, each at its place in a black picture of the whole size.

    OpenCV counts positions from the corner of a picture and rounds them to 24 bits, so a crop of a
    part has other roundings than one of the whole. Put back in its place, a part that holds all
    that a crop shows gives the bits of the whole picture.

    Args:
        source: gives parts of pictures.
    """

    def __init__(self, source: PictureSource):
        self.source = source

    def read(
        self, row: int, file: str, size_wh: tuple[int, int], shrink: float, *, annotated: bool
    ) -> Picture:
        """See `PictureSource.read`. A picture whose size is not known is given as it is stored."""
        part = self.source.read(row, file, size_wh, shrink, annotated=annotated)
        step, corner = int(part.step_px), (part.step_px - 1) / 2
        width, height = (-(-side // step) for side in size_wh)
        if not annotated or part.image_rgb.shape[:2] == (height, width):
            return part
        left, top = (int((origin - corner) / step) for origin in part.origin_px)
        whole = np.zeros((height, width, 3), np.uint8)
        rows, columns = part.image_rgb.shape[:2]
        whole[top : top + rows, left : left + columns] = part.image_rgb
        return Picture(whole, part.step_px, (corner, corner))


def reduction(shrink: float) -> int:
    """The largest of 1, 2, 4 and 8 that is not above `shrink`, original pixels per crop pixel."""
    return next((factor for factor in (8, 4, 2) if factor <= shrink), 1)


def reductions(least: float, most: float) -> list[int]:
    """Every value of `reduction` from `least` to `most` original pixels per crop pixel."""
    return [factor for factor in (1, 2, 4, 8) if reduction(least) <= factor <= reduction(most)]


def reduced_picture(image_rgb: np.ndarray, shrink: float) -> Picture:
    """A decoded picture for a crop: pixels averaged as a reduced decode of its file averages them.

    Args:
        image_rgb: (H, W, 3) uint8.
        shrink: original pixels per crop pixel.
    """
    factor = reduction(shrink)
    if factor == 1:
        return Picture(image_rgb)
    height, width = image_rgb.shape[:2]
    bottom, right = -height % factor, -width % factor
    whole = cv2.copyMakeBorder(image_rgb, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    size_wh = (whole.shape[1] // factor, whole.shape[0] // factor)
    return _reduced(cv2.resize(whole, size_wh, interpolation=cv2.INTER_AREA), factor)


def _reduced(image_rgb: np.ndarray, factor: int) -> Picture:
    centre = (factor - 1) / 2
    return Picture(image_rgb, float(factor), (centre, centre))


def read_image_rgb(path: str | Path, row: int, *, reduce: int = 1) -> np.ndarray:
    """Decodes a picture to (H, W, 3) uint8 RGB.

    OpenCV's colour mode does the rest: grey becomes three equal channels, alpha is dropped, 16 bits
    are reduced to 8, and a rotation in the EXIF data is applied.

    Args:
        path: the file.
        row: row of the index, for messages.
        reduce: 1, 2, 4 or 8: give ceil(side / reduce) pixels for each side. Exact averages for
            JPEG files; other formats are decoded whole and resized.

    Raises:
        DataError: the file is missing or not a picture; names path and row.
    """
    flags = cv2.IMREAD_COLOR_RGB  # the decoder writes this order at no cost
    if reduce > 1:
        flags |= _REDUCED[reduce] & ~cv2.IMREAD_COLOR
    image = cv2.imread(str(path), flags)
    if image is None:
        raise DataError(_why_unreadable(Path(path), row))
    return image


def channels_first(image_rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> contiguous (3, H, W); OpenCV's split is several times as fast as a transpose."""
    planes = np.empty((3, *image_rgb.shape[:2]), np.uint8)
    cv2.split(image_rgb, list(planes))
    return planes


def size_error(
    row: int, path: str | Path, found_wh: tuple[int, int], expected_wh: tuple[int, int]
) -> DataError:
    """What to raise of a picture that is not of the annotated size."""
    return DataError(
        f"Image of row {row} is {found_wh[0]} x {found_wh[1]} px, but its annotation says "
        f"{expected_wh[0]} x {expected_wh[1]}: {path}. Are images and annotations of one release?"
    )


def _why_unreadable(path: Path, row: int) -> str:
    if not path.is_file():
        return (
            f"Image of row {row} does not exist: {path}. Was the data set moved? "
            "tools/prepare_data.py verify lists all missing images."
        )
    return (
        f"Image of row {row} is not a readable picture: {path} ({path.stat().st_size} bytes). "
        "tools/prepare_data.py verify lists all such images; fetch them again or leave them out."
    )
