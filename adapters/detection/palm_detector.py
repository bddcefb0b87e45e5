"""Find palms in an image: a single-shot detector with square anchors.

Zhang et al. (2020, arXiv 2006.10214), section 2.1: palms are easier to separate than hands, and
square boxes suffice for them. The network refers each box and its seven keypoints to one of 2016
anchors.
"""

from typing import NamedTuple

import numpy as np
import torch
from torchvision.ops import box_iou

from adapters.detection.lite_network import LiteNetwork
from gesture_pretrain.geometry.boxes import square_box
from gesture_pretrain.geometry.crop import apply_affine, crop_affine, invert_affine

# cells along a side of the image, and anchors per cell
_GRIDS = ((24, 2), (12, 6))
_SAME_PALM_IOU = 0.3
_LEAST_SCORE = 0.5  # smallest score of a palm


class Palm(NamedTuple):
    """A palm in image pixels.

    Attributes:
        box_xyxy_px: `(4,)`.
        keypoints_px: `(7, 2)`: wrist, base knuckles of index, middle, ring and little finger, and
            two joints of the thumb.
        score: Probability from 0 to 1.
    """

    box_xyxy_px: np.ndarray
    keypoints_px: np.ndarray
    score: float


class PalmDetector:
    """Find palms that are not small in the image: it is reduced to 192 pixels.

    Args:
        network: Palm network.
    """

    def __init__(self, network: LiteNetwork):
        self.network = network
        self._anchors_px = anchor_centres() * network.size_px

    def __call__(self, image_rgb: np.ndarray, *, margin: float = 1.0) -> list[Palm]:
        """Find the palms in an image, those with the highest score first.

        Args:
            image_rgb: `(H, W, 3)` uint8, RGB.
            margin: Side of the square that is searched, over the longer side of the image.
        """
        height, width = image_rgb.shape[:2]
        square = square_box([0, 0, width, height], margin)
        affine = crop_affine(square, self.network.size_px)
        offsets, logits = self.network(image_rgb, affine, square[2])
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0].astype(np.float64), -100, 100)))
        chosen = np.flatnonzero(scores >= _LEAST_SCORE)
        points = decoded_points(offsets[chosen], self._anchors_px[chosen])
        points = apply_affine(points, invert_affine(affine))
        return [
            Palm(merged[:2].reshape(4), merged[2:], score)
            for merged, score in merge_overlapping(points, scores[chosen])
        ]


def anchor_centres() -> np.ndarray:
    """Compute the centres of the anchors `(2016, 2)`, as fractions of the image's side."""
    grids = []
    for cells, anchors in _GRIDS:
        centres = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        grids.append(grid.repeat(anchors, axis=0))
    return np.concatenate(grids)


def decoded_points(offsets: np.ndarray, anchors_px: np.ndarray) -> np.ndarray:
    """Decode N outputs to points `(N, 9, 2)` in the network's pixels.

    Args:
        offsets: `(N, 18)`: centre of the box minus the anchor, width and height, and seven
            keypoints minus the anchor.
        anchors_px: `(N, 2)`.

    Returns:
        Upper left corner, lower right corner, and keypoints.
    """
    pairs = offsets.astype(np.float64).reshape(-1, 9, 2)
    centre, half = pairs[:, :1] + anchors_px[:, None], pairs[:, 1:2] / 2
    return np.concatenate([centre - half, centre + half, pairs[:, 2:] + anchors_px[:, None]], 1)


def merge_overlapping(points: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Average boxes that overlap, weighted by their scores (weighted non-maximum suppression).

    Args:
        points: `(N, P, 2)`; the first two are the corners of a box.
        scores: `(N,)`.

    Returns:
        Averaged points `(P, 2)` and the best score of each group, best first.
    """
    boxes = torch.from_numpy(points[:, :2].reshape(-1, 4))
    is_same = (box_iou(boxes, boxes) > _SAME_PALM_IOU).numpy()
    left, found = np.argsort(-scores, kind="stable"), []
    while len(left):
        best = left[0]
        same = is_same[best, left] | (left == best)
        group = left[same]
        merged = np.average(points[group], axis=0, weights=scores[group])
        found.append((merged, float(scores[best])))
        left = left[~same]
    return found
