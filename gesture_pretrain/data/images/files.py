"""Image files: decoded whole, or at a half, a quarter or an eighth of their size.

A JPEG file can be decoded at a reduced scale, which averages 2 x 2, 4 x 4 or 8 x 8 pixels and saves
most of the work. Where a crop shows at least twice as many pixels as it has, no detail is lost:
bilinear interpolation would skip the pixels that the reduced decode averages.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from gesture_pretrain.data.images.decoding import UnreadableImage, decode_image
from gesture_pretrain.data.index.errors import DataError

_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_JPEG_ENDINGS = (".jpg", ".jpeg", ".JPG", ".JPEG")


class ImagePart(NamedTuple):
    """Decoded pixels and their place in the original image.

    Attributes:
        image_rgb: (H, W, 3) uint8.
        step_px: Original pixels per decoded pixel.
        origin_px: (2,) x and y of the centre of the first decoded pixel, in original pixels.
    """

    image_rgb: np.ndarray
    step_px: float = 1.0
    origin_px: tuple[float, float] = (0.0, 0.0)

    def crop_affine(self, affine: np.ndarray) -> np.ndarray:
        """Return (2, 3) map decoded -> crop pixels, from the map original -> crop pixels."""
        if self.step_px == 1.0 and self.origin_px == (0.0, 0.0):
            return affine
        moved = affine * self.step_px
        moved[:, 2] = affine[:, :2] @ self.origin_px + affine[:, 2]
        return moved


class ImageSource(Protocol):
    """Source of a loader's pixels."""

    def read(
        self,
        row: int,
        file: str,
        size_wh: tuple[int, int],
        shrink: float,
        bounds_px: np.ndarray | None,
    ) -> ImagePart:
        """Read the pixels of a crop.

        Args:
            row: Row of the index.
            file: Path of its image.
            size_wh: Original size according to the index.
            shrink: Original pixels per crop pixel; finer pixels are not required.
            bounds_px: (4,) left, top, right and bottom of what the crop shows, in original pixels.
                The size of the image must then be `size_wh`. None for an image without a box,
                which is shown whole.

        Raises:
            DataError: The image is missing, unreadable, or of another size.
        """
        ...


class ImageFiles:
    """The image files of a dataset; an `ImageSource`.

    Args:
        reduced_decode: Decode JPEG files at a reduced scale where the crop allows it.
    """

    def __init__(self, *, reduced_decode: bool = True):
        self.reduced_decode = reduced_decode

    def factor(self, file: str, shrink: float) -> int:
        """Return the factor by which `read` reduces a file."""
        return reduction(shrink) if self.reduced_decode and file.endswith(_JPEG_ENDINGS) else 1

    def read(
        self,
        row: int,
        file: str,
        size_wh: tuple[int, int],
        shrink: float,
        bounds_px: np.ndarray | None,
    ) -> ImagePart:
        """Read the whole image; see `ImageSource.read`."""
        factor = self.factor(file, shrink)
        image = read_image_rgb(file, row, reduce=factor)
        height, width = image.shape[:2]
        if bounds_px is not None or factor > 1:
            expected = tuple(-(-side // factor) for side in size_wh)
            if (width, height) != expected:
                raise size_error(row, file, (width * factor, height * factor), size_wh)
        return ImagePart(image) if factor == 1 else _reduced(image, factor)


def reduction(shrink: float) -> int:
    """Return the largest of 1, 2, 4 and 8 that is not above `shrink`."""
    return next((factor for factor in (8, 4, 2) if factor <= shrink), 1)


def reduced_image(image_rgb: np.ndarray, shrink: float) -> ImagePart:
    """Average a decoded image for a crop, as the reduced decode of its file would.

    Args:
        image_rgb: (H, W, 3) uint8.
        shrink: Original pixels per crop pixel.
    """
    factor = reduction(shrink)
    return ImagePart(image_rgb) if factor == 1 else _reduced(averaged(image_rgb, factor), factor)


def averaged(image_rgb: np.ndarray, factor: int) -> np.ndarray:
    """Average factor x factor pixels; an incomplete last row or column is repeated to fill one."""
    height, width = image_rgb.shape[:2]
    bottom, right = -height % factor, -width % factor
    whole = cv2.copyMakeBorder(image_rgb, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    size_wh = (whole.shape[1] // factor, whole.shape[0] // factor)
    return cv2.resize(whole, size_wh, interpolation=cv2.INTER_AREA)


def _reduced(image: np.ndarray, factor: int) -> ImagePart:
    centre = (factor - 1) / 2
    return ImagePart(image, float(factor), (centre, centre))


def read_image_rgb(path: str | Path, row: int, *, reduce: int = 1) -> np.ndarray:
    """Decode an image to (H, W, 3) uint8 RGB.

    OpenCV's colour mode does the rest: grey becomes three equal channels, alpha is dropped, 16 bits
    are reduced to 8, and a rotation in the EXIF data is applied.

    Args:
        path: The file.
        row: Row of the index, for messages.
        reduce: 1, 2, 4 or 8: return ceil(side / reduce) pixels for each side. Exact averages for
            JPEG files; other formats are decoded whole and resized.

    Raises:
        DataError: The file is missing or not an image; names path and row.
    """
    flags = cv2.IMREAD_COLOR_RGB  # the decoder writes this order at no cost
    if reduce > 1:
        flags |= _REDUCED[reduce] & ~cv2.IMREAD_COLOR
    try:
        return decode_image(path, flags)
    except UnreadableImage as error:
        raise DataError(_why_unreadable(Path(path), row, error)) from None


def channels_first(image_rgb: np.ndarray) -> np.ndarray:
    """Transpose (H, W, 3) to contiguous (3, H, W), faster than numpy."""
    planes = np.empty((3, *image_rgb.shape[:2]), np.uint8)
    cv2.split(image_rgb, list(planes))
    return planes


def size_error(
    row: int, path: str | Path, found_wh: tuple[int, int], expected_wh: tuple[int, int]
) -> DataError:
    """Return the error for an image that is not of the annotated size."""
    return DataError(
        f"Image of row {row} is {found_wh[0]} x {found_wh[1]} px, but its annotation says "
        f"{expected_wh[0]} x {expected_wh[1]}: {path}. Are both from the same release?"
    )


def _why_unreadable(path: Path, row: int, reason: Exception) -> str:
    if not path.exists():
        return (
            f"Image of row {row} does not exist: {path}. Was the dataset moved? "
            "`gesture-pretrain data verify` lists all missing images."
        )
    return (
        f"Image of row {row} is not a readable image: {path} ({path.stat().st_size} bytes; "
        f"{reason}). "
        "`gesture-pretrain data verify` lists all such images; download them again or leave them "
        "out."
    )
