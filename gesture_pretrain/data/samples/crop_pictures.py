"""Where a loader's pixels come from: of each crop, the picture that holds what it shows."""

from pathlib import Path

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.picture import Picture, PictureFiles, PictureSource
from gesture_pretrain.data.shards.card import ShardSettings
from gesture_pretrain.data.shards.shards import open_shards
from gesture_pretrain.geometry.boxes import square_box


class CropPictures:
    """Reads the pictures of crops, as finely as each crop can show.

    Args:
        source: picture files or shards.
        size_px: side of the crops.
    """

    def __init__(self, source: PictureSource, size_px: int):
        self.source, self.size_px = source, size_px

    def read(
        self,
        row: int,
        file: str,
        size_wh: tuple[int, int],
        box_xywh_px: np.ndarray,
        scale: float,
    ) -> tuple[Picture, np.ndarray]:
        """The picture of a crop, and the square of the original picture that it shows.

        Args:
            row: row of the index.
            file: its picture's path.
            size_wh: original size by the index.
            box_xywh_px: (4,) square to be shown; NaN to show the whole picture, with black bars.
            scale: factor on the side of the square, see `Motion`.

        Returns:
            The picture; and (4,) the square, in original pixels.

        Raises:
            DataError: missing, unreadable, or of another size than annotated.
        """
        side = float(box_xywh_px[2])
        annotated = side == side  # not NaN
        shrink = (side if annotated else max(size_wh)) * scale / self.size_px
        picture = self.source.read(row, file, size_wh, shrink, annotated=annotated)
        if annotated:
            return picture, box_xywh_px
        whole = size_wh if picture.step_px > 1 else picture.image_rgb.shape[1::-1]
        return picture, square_box([0, 0, *whole])


def open_pictures(
    index: HandIndex,
    rows: np.ndarray,
    settings: ShardSettings,
    *,
    shards: str | Path | None = None,
    reduced_decode: bool = True,
) -> PictureSource:
    """The pictures of a loader.

    Args:
        index: the data.
        rows: rows that the loader will ask for.
        settings: the loader's crops.
        shards: folder of decoded pictures, see `data.shards`; None reads the picture files.
        reduced_decode: decode JPEG files at a reduced scale where the crop allows it.

    Raises:
        ValueError: shards together with `reduced_decode=False`.
        DataError: the shards do not serve this loader.
    """
    if shards is None:
        return PictureFiles(reduced_decode=reduced_decode)
    if not reduced_decode:
        raise ValueError(
            "reduced_decode=False has no effect on shards, which hold reduced pictures where crops "
            "allow it. Leave one of the two out."
        )
    return open_shards(shards, index, rows, settings)
