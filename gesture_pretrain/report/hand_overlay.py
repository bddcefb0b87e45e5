"""Overlays of predicted hands on their image, and views from the side.

Meshes are rendered with a distant, nearly orthographic camera, because without the image's camera
the position of a hand is only known as a scale and a shift in pixels. The relative depth of two
hands is unknown, so later hands cover earlier ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from gesture_pretrain.rendering import render_mesh
from gesture_pretrain.skeleton import BONES_MANO21, FINGER_COLORS_RGB, finger_of_joint

SIDE_COLOURS_RGB = {"right": (110, 165, 225), "left": (235, 150, 95)}
MAX_SIDE_PX = 960
_BACKGROUND_RGB, _TEXT_RGB, _BOX_RGB = (250, 250, 250), (20, 20, 20), (255, 255, 255)
_FAR_MM = 20_000.0  # a hand is less than 100 mm deep from its wrist: 0.5 % of perspective at most
_SIDE_FILL = 0.8  # fraction of a side view's square that the hand fills
_RAYS_FOR_SMOOTH_EDGES = 1_000_000
_LINE_PX = 22  # height of a line of text
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class DrawnHand(NamedTuple):
    """One hand, in pixels of its image and in the camera frame.

    Attributes:
        hand: "right" or "left", for the colour.
        vertices_rel_mm: `(V, 3)` vertices relative to the wrist.
        faces: `(F, 3)` vertex indices.
        keypoints_px: `(21, 2)` keypoints, mano21 order.
        image_from_mm: `(3,)` scale s in px per mm and shift in px. A point is at
            `s * (x, y) + shift` in the image.
        box_xywh_px: `(4,)` box of the crop.
        caption: Line of ASCII text.
    """

    hand: str
    vertices_rel_mm: np.ndarray
    faces: np.ndarray
    keypoints_px: np.ndarray
    image_from_mm: np.ndarray
    box_xywh_px: np.ndarray
    caption: str = ""


def hand_sheet(
    image_rgb: np.ndarray,
    hands: Sequence[DrawnHand],
    *,
    places: int | None = None,
    max_side_px: int = MAX_SIDE_PX,
) -> np.ndarray:
    """Draw joints and meshes on the image, and meshes from the side, with captions below.

    Args:
        image_rgb: `(H, W, 3)` uint8.
        hands: Hands to draw; may be empty.
        places: Number of hands to reserve space for. Default: the number of hands.
        max_side_px: Maximum side length; larger images are reduced.

    Returns:
        Image `(H', W', 3)` uint8. Its size depends only on the size of the input and on `places`.
        Both sides are even, as required by video encoders.
    """
    places = max(len(hands), 1) if places is None else places
    image, hands = _reduced(image_rgb, hands, max_side_px)
    sides = side_views(hands, len(image), places=places)
    sheet = np.concatenate([draw_joints(image, hands), draw_meshes(image, hands), sides], axis=1)
    captions = _captions([hand.caption for hand in hands], sheet.shape[1], places)
    return _even(np.concatenate([sheet, captions], axis=0))


def draw_joints(image_rgb: np.ndarray, hands: Sequence[DrawnHand]) -> np.ndarray:
    """Draw the 21 joints and bones, coloured by finger, and the boxes on a copy of the image."""
    drawn = image_rgb.copy()
    thickness = max(1, round(max(drawn.shape[:2]) / 250))
    for hand in hands:
        x, y, width, height = (int(round(float(value))) for value in hand.box_xywh_px)
        cv2.rectangle(drawn, (x, y), (x + width, y + height), _BOX_RGB, 1)
        points = [tuple(int(round(float(v))) for v in point) for point in hand.keypoints_px]
        for start, end in BONES_MANO21:
            colour = FINGER_COLORS_RGB[finger_of_joint(end)]
            cv2.line(drawn, points[start], points[end], colour, thickness, cv2.LINE_AA)
    return drawn


def draw_meshes(image_rgb: np.ndarray, hands: Sequence[DrawnHand]) -> np.ndarray:
    """Draw the meshes on a copy of the image."""
    drawn = image_rgb.copy()
    for hand in hands:
        scale, *shift = (float(value) for value in hand.image_from_mm)
        _draw_mesh(drawn, hand, hand.vertices_rel_mm, scale, np.array(shift))
    return drawn


def side_views(hands: Sequence[DrawnHand], height_px: int, *, places: int) -> np.ndarray:
    """Draw the meshes as seen from the right of the image, one below the other.

    Args:
        hands: Hands to draw.
        height_px: Height of the column. Its width is the side length of one square.
        places: Number of squares.
    """
    side = height_px // places
    column = np.full((height_px, side, 3), _BACKGROUND_RGB, np.uint8)
    for number, hand in enumerate(hands):
        vertices = seen_from_the_right(hand.vertices_rel_mm)
        low, high = vertices[:, :2].min(axis=0), vertices[:, :2].max(axis=0)
        scale = _SIDE_FILL * side / max(float((high - low).max()), 1e-6)
        shift = np.array([side / 2, side / 2]) - scale * (low + high) / 2
        _draw_mesh(column[number * side : (number + 1) * side], hand, vertices, scale, shift)
    return column


def seen_from_the_right(points: np.ndarray) -> np.ndarray:
    """Transform camera-frame points `(N, 3)` to a viewer 90 degrees to the right of the image.

    Points far from the camera move to the right, and points on the right become near.
    """
    x, y, z = np.asarray(points).T
    return np.stack([z, y, -x], axis=-1)


def _draw_mesh(
    image: np.ndarray, hand: DrawnHand, vertices_mm: np.ndarray, scale: float, shift: np.ndarray
) -> None:
    """Draw into the image, restricted to the window around the mesh."""
    flat = scale * vertices_mm[:, :2] + shift
    size_wh = np.array(image.shape[1::-1])
    low = np.clip(np.floor(flat.min(axis=0)).astype(int) - 2, 0, size_wh)
    high = np.clip(np.ceil(flat.max(axis=0)).astype(int) + 3, 0, size_wh)
    width, height = high - low
    if width <= 0 or height <= 0 or scale <= 0:
        return  # outside of the image, or joints and mesh that cannot be aligned
    layer, coverage = render_mesh(
        (vertices_mm + [0, 0, _FAR_MM]) / 1000,
        hand.faces,
        np.full(2, scale * _FAR_MM),
        shift - low,
        (int(width), int(height)),
        colour_rgb=SIDE_COLOURS_RGB[hand.hand],
        supersample=2 if 4 * width * height <= _RAYS_FOR_SMOOTH_EDGES else 1,
    )
    window = image[low[1] : high[1], low[0] : high[0]]
    window[:] = np.rint(layer + (1 - coverage[..., None]) * window).clip(0, 255).astype(np.uint8)


def _reduced(
    image: np.ndarray, hands: Sequence[DrawnHand], max_side_px: int
) -> tuple[np.ndarray, list[DrawnHand]]:
    ratio = max_side_px / max(image.shape[:2])
    if ratio >= 1:
        return image, list(hands)
    width, height = (max(1, round(ratio * side)) for side in image.shape[1::-1])
    smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return smaller, [
        hand._replace(
            keypoints_px=ratio * hand.keypoints_px,
            image_from_mm=ratio * hand.image_from_mm,
            box_xywh_px=ratio * np.asarray(hand.box_xywh_px),
        )
        for hand in hands
    ]


def _captions(lines: Sequence[str], width: int, places: int) -> np.ndarray:
    strip = np.full((_LINE_PX * places + 6, width, 3), _BACKGROUND_RGB, np.uint8)
    for number, text in enumerate(lines):
        length = cv2.getTextSize(text, _FONT, 0.5, 1)[0][0]
        size = 0.5 * min(1.0, (width - 12) / max(length, 1))
        place = (6, _LINE_PX * (number + 1) - 4)
        cv2.putText(strip, text, place, _FONT, size, _TEXT_RGB, 1, cv2.LINE_AA)
    return strip


def _even(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return cv2.copyMakeBorder(
        image, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT, value=_BACKGROUND_RGB
    )
