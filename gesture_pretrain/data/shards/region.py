"""The part of a picture that the crops of one box can show, at each scale they ask for."""

import math
from collections.abc import Callable

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.data.samples.picture import Picture, PictureFiles, reductions

# rows of an index -> (N, 4) boxes xywh px that crops show before any augmentation; NaN for none
BoxesOf = Callable[[np.ndarray], np.ndarray]
_INTERPOLATION_PX = 2  # bilinear interpolation looks one pixel further; rounding, one more


class ShownParts:
    """Reads from picture files what the crops of some boxes can show.

    Args:
        index: the index.
        boxes: the boxes of its rows.
        size_px: side of the crops.
        limits: the largest motion of the crops.
    """

    def __init__(self, index: HandIndex, boxes: BoxesOf, *, size_px: int, limits: Augmentation):
        self.index, self.boxes, self.size_px, self.limits = index, boxes, size_px, limits
        self._files = PictureFiles()
        self._sizes_wh = np.asarray(index.meta["image_sizes"], np.int64).reshape(-1, 2)

    def read(self, row: int) -> list[Picture]:
        """The part of a row's picture, once for each scale at which a crop decodes the file.

        Returns:
            Of ascending `step_px`; the whole picture where the row has no box.

        Raises:
            DataError: missing, unreadable, or of another size than annotated.
        """
        file = self.index.image_file(row)
        size_wh = tuple(self._sizes_wh[self.index.columns["size"][row]].tolist())
        box = self.boxes(np.array([row]))[0]
        annotated = not bool(np.isnan(box[2]))
        side = float(box[2:].min()) if annotated else max(size_wh)
        least, most = (
            side * scale / self.size_px for scale in (1 - self.limits.scale, 1 + self.limits.scale)
        )
        found: list[Picture] = []
        for factor in reductions(least, most):
            picture = self._files.read(row, file, size_wh, float(factor), annotated=annotated)
            if found and picture.step_px == found[-1].step_px:
                break  # only JPEG files are decoded at a reduced scale
            found.append(picture)
        return [shown_part(part, box, self.limits) if annotated else part for part in found]


def shown_part(picture: Picture, box_xywh_px: np.ndarray, limits: Augmentation) -> Picture:
    """The part of a picture that crops about a box can show; one pixel if there is none.

    Args:
        picture: the whole picture, maybe reduced.
        box_xywh_px: (4,) box; one that is not square is turned and then stretched to the crop.
        limits: the largest motion.
    """
    box = np.asarray(box_xywh_px, np.float64)
    reach = _reach_px(box[2:], limits)
    height, width = picture.image_rgb.shape[:2]
    spans = []
    for axis, length in enumerate((width, height)):
        centre = box[axis] + box[2 + axis] / 2 - picture.origin_px[axis]
        low, high = ((centre + sign * reach[axis]) / picture.step_px for sign in (-1, 1))
        first = min(max(math.floor(low) - _INTERPOLATION_PX, 0), length - 1)
        spans.append((first, min(max(math.ceil(high) + _INTERPOLATION_PX, first + 1), length)))
    (left, right), (top, bottom) = spans
    origin = [o + picture.step_px * p for o, p in zip(picture.origin_px, (left, top), strict=True)]
    return Picture(picture.image_rgb[top:bottom, left:right], picture.step_px, tuple(origin))


def _reach_px(size_wh: np.ndarray, limits: Augmentation) -> list[float]:
    """How far a crop can show to each side of the box's centre, along x and along y.

    Turned by t, half a box of a x b reaches a |cos t| + b |sin t| along x; most at tan t = b / a.
    """
    reach = []
    for along, across in (size_wh, size_wh[::-1]):
        turn = min(math.radians(limits.rotation_deg), math.atan2(across, along))
        half = (along * math.cos(turn) + across * math.sin(turn)) / 2
        reach.append(float((1 + limits.scale) * half + limits.translation * along))
    return reach
