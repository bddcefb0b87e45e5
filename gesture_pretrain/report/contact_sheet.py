"""Contact sheets of input crops with joints, labels and predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from gesture_pretrain.report.figures import INK, to_png
from gesture_pretrain.skeleton import BONES_MANO21, FINGER_COLORS_RGB, finger_of_joint

RIGHT_ANSWER, WRONG_ANSWER = "#1a7f37", "#c62828"


@dataclass(frozen=True)
class Tile:
    """One image of a contact sheet.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        caption: One or two lines below the image.
        correct: Whether the prediction is correct; None without a prediction.
        keypoints_px: (21, 2) in pixels of the image, or None.
        joint_valid: (21,) bool. A bone is drawn if both ends are valid.
    """

    image: np.ndarray
    caption: str
    correct: bool | None = None
    keypoints_px: np.ndarray | None = None
    joint_valid: np.ndarray | None = None


def contact_sheet(tiles: Sequence[Tile], *, title: str, columns: int = 6, dpi: int = 100) -> bytes:
    """Draw the tiles in rows and return a PNG; a tile is 1.75 inches wide."""
    if not tiles:
        raise ValueError("A contact sheet needs at least one tile.")
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    figure = Figure(figsize=(1.75 * columns, 2.2 * rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for position, tile in enumerate(tiles):
        _draw(figure.add_subplot(rows, columns, position + 1), tile)
    return to_png(figure, dpi=dpi)


def spread_over_classes(classes: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Choose up to `count` samples from as many classes as possible, sorted by class.

    Args:
        classes: (N,) class ids; -1 counts as a separate class.
        count: Maximum number of samples.
        seed: Random seed.

    Returns:
        Positions of the samples.
    """
    shuffled = np.random.default_rng(seed).permutation(len(classes))
    # the first sample of every class in random order, then a second one of each, ...
    round_of = pd.Series(shuffled).groupby(classes[shuffled]).cumcount()
    chosen = shuffled[np.argsort(round_of, kind="stable")][:count]
    return chosen[np.argsort(classes[chosen], kind="stable")]


def _draw(axes, tile: Tile) -> None:
    axes.imshow(tile.image, interpolation="bilinear")
    if tile.keypoints_px is not None:
        _draw_skeleton(axes, tile.keypoints_px, tile.joint_valid)
    size = tile.image.shape[0]
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    colour = {None: INK, True: RIGHT_ANSWER, False: WRONG_ANSWER}[tile.correct]
    axes.spines[:].set_color(colour)
    axes.spines[:].set_linewidth(1 if tile.correct is None else 2.5)
    axes.set_xlabel(tile.caption, fontsize=6.5, color=colour)


def _draw_skeleton(axes, keypoints_px: np.ndarray, joint_valid: np.ndarray | None) -> None:
    valid = np.ones(len(keypoints_px), bool) if joint_valid is None else joint_valid
    drawn = [(a, b) for a, b in BONES_MANO21 if valid[a] and valid[b]]
    segments = [keypoints_px[[a, b]] for a, b in drawn]
    colours = [np.array(FINGER_COLORS_RGB[finger_of_joint(b)]) / 255 for _, b in drawn]
    axes.add_collection(LineCollection(segments, colors="black", linewidths=2.2, alpha=0.5))
    axes.add_collection(LineCollection(segments, colors=colours, linewidths=1.2))
