"""EANet's bounding box around one or two hands.

The rule is that of the published data pipeline: the tight box of the triangulated joints, 1.25
times as large, fitted into the image, made square and 1.25 times as large again. In total the
crop shows 1.5625 times the extent of the joints. Boxes are (4,) x, y, width, height in pixels.
"""

import numpy as np
from numpy.typing import ArrayLike

from gesture_pretrain.geometry.boxes import clip_box_eanet, square_box, tight_box, union_box

BOX_RATIO = 1.25


def box_of_hands(
    joints_px: ArrayLike, valid: ArrayLike, hand: str, *, box_bug: bool = False
) -> np.ndarray:
    """Return the box around the annotated hands, before `crop_box` fits it into the image.

    Args:
        joints_px: (2, 21, 2) pixels, right hand first; arbitrary where not valid.
        valid: (2, 21) bool.
        hand: "right", "left" or "interacting". Of two hands, one without valid joints takes the
            other's box.
        box_bug: For two hands, measure width and height from the right hand's corner instead of
            from the corner of both, as upstream does: too small wherever the left hand reaches
            further left or up.

    Returns:
        (4,) xywh, pixels.

    Raises:
        ValueError: Unknown hand, or nothing valid to put a box around.
    """
    points, known = np.asarray(joints_px, np.float64), np.asarray(valid, bool)
    if hand in ("right", "left"):
        side = ("right", "left").index(hand)
        return tight_box(points[side], known[side], BOX_RATIO)
    if hand != "interacting":
        raise ValueError(f"no box for hand {hand!r}; possible: 'right', 'left', 'interacting'")
    seen = [side for side in (0, 1) if known[side].any()]
    if not seen:
        raise ValueError("neither hand has a valid joint; test the mask first")
    right, left = (tight_box(points[s], known[s], BOX_RATIO) for s in (seen[0], seen[-1]))
    both = union_box(right, left)
    if box_bug:
        both[2:] += both[:2] - right[:2]
    return both


def crop_box(bbox_xywh_px: ArrayLike, image_size_wh: tuple[int, int]) -> np.ndarray:
    """Fit a box into the image, then the square of 1.25 times its longer side.

    A box that begins left of (or above) the image is moved, not cut; the square may reach
    beyond the image again.

    Raises:
        ValueError: The box lies outside the image.
    """
    return square_box(clip_box_eanet(bbox_xywh_px, image_size_wh), BOX_RATIO)


def boxes_are_usable(
    joints_px: np.ndarray,
    valid: np.ndarray,
    hands: np.ndarray,
    image_sizes_wh: np.ndarray,
    *,
    box_bug: bool = False,
) -> np.ndarray:
    """Return whether `crop_box` would accept the box of `box_of_hands`, for many images.

    Args:
        joints_px: (N, 2, 21, 2), valid: (N, 2, 21) bool.
        hands: (N,) 0 right, 1 left, 2 interacting.
        image_sizes_wh: (N, 2).
        box_bug: See `box_of_hands`.

    Returns:
        (N,) bool; False also where no joint of the hand is valid.
    """
    counts = (hands[:, None] == 2) | (hands[:, None] == np.arange(2))
    used = (valid & counts[..., None])[..., None]
    seen = used.any(axis=2)
    tight_low = np.where(seen, np.min(joints_px, axis=2, where=used, initial=np.inf), 0)
    tight_high = np.where(seen, np.max(joints_px, axis=2, where=used, initial=-np.inf), 0)
    margin = (tight_high - tight_low) * (BOX_RATIO - 1) / 2
    low = np.where(seen, tight_low - margin, np.inf)
    high = np.where(seen, tight_high + margin, -np.inf)
    corner = low.min(axis=1)
    measured_from = np.where(seen[:, 0], low[:, 0], low[:, 1]) if box_bug else corner
    size = np.where(seen.any(axis=1), high.max(axis=1) - measured_from, 0.0)
    return np.all((size > 1) & (corner < image_sizes_wh - 1), axis=1)
