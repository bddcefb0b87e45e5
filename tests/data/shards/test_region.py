"""The part of a picture that is stored: all that a crop can show, and not much more."""

import numpy as np
import pytest

from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.data.samples.picture import Picture, WholePictures
from gesture_pretrain.data.shards.region import shown_part
from gesture_pretrain.geometry.crop import apply_affine, crop_affine, invert_affine

WIDTH, HEIGHT, SIZE = 334, 512, 64
LIMITS = [
    Augmentation(scale=0.0, rotation_deg=0, translation=0.0),
    Augmentation(scale=0.25, rotation_deg=30, translation=0.05),
    Augmentation(scale=0.3, rotation_deg=75, translation=0.2),
    Augmentation(scale=0.1, rotation_deg=180, translation=0.0),
]
SHAPES = [(80.0, 80.0), (140.0, 40.0), (30.0, 120.0)]


def _shown(box, limits) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest x and y of the corners of crops at the limits, every degree of a turn."""
    corners = np.array([[0, 0], [SIZE, 0], [0, SIZE], [SIZE, SIZE]])
    points = []
    for turn in np.arange(-limits.rotation_deg, limits.rotation_deg + 1):
        for right in (-limits.translation, limits.translation):
            moved = np.array(box) + [right * box[2], right * box[3], 0, 0]
            affine = crop_affine(moved, SIZE, scale=1 + limits.scale, rotation_deg=turn)
            points.append(apply_affine(corners, invert_affine(affine)))
    points = np.concatenate(points)
    return points.min(axis=0), points.max(axis=0)


@pytest.mark.parametrize("step_px", [1, 4])
@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("size_wh", SHAPES)
def test_it_holds_what_a_crop_at_the_limits_shows_and_little_more(size_wh, limits, step_px):
    box = [150.0, 230.0, *size_wh]
    corner = (step_px - 1) / 2
    image = np.zeros((-(-HEIGHT // step_px), -(-WIDTH // step_px), 3), np.uint8)
    part = shown_part(Picture(image, float(step_px), (corner, corner)), np.array(box), limits)
    low, high = _shown(box, limits)
    first = np.array(part.origin_px)
    last = first + step_px * (np.array(part.image_rgb.shape[1::-1]) - 1)
    edge = np.array([WIDTH, HEIGHT]) - 1
    assert (first <= np.maximum(low - 1, corner)).all()
    assert (last >= np.minimum(high + 1, edge - step_px)).all()
    # interpolation's neighbours, rounding to whole pixels, and half a degree of the turn
    spare = 4 * step_px + 0.01 * (high - low)
    assert (first >= np.maximum(low - spare, 0)).all()
    assert (last <= np.minimum(high + spare, edge + step_px)).all()


@pytest.mark.parametrize(
    ("box", "place"),
    [([900, -700, 250, 180], (333, 0)), ([-500, 2000, 90, 60], (0, 511))],
)
def test_of_a_box_outside_of_the_picture_one_pixel_is_kept(box, place):
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    part = shown_part(Picture(image), np.array(box, np.float64), LIMITS[1])
    assert part.image_rgb.shape == (1, 1, 3) and part.origin_px == place
    np.testing.assert_array_equal(part.image_rgb[0, 0], image[place[1], place[0]])


class _Fixed:
    def __init__(self, picture):
        self.picture = picture

    def read(self, row, file, size_wh, shrink, *, annotated):
        return self.picture


@pytest.mark.parametrize("step_px", [1, 2, 8])
def test_a_part_is_put_back_in_its_place(step_px):
    """In a picture whose sides the step does not divide."""
    width, height = 333, 511
    image = np.random.default_rng(0).integers(
        1, 256, (-(-height // step_px), -(-width // step_px), 3), np.uint8
    )
    corner = (step_px - 1) / 2
    whole = Picture(image, float(step_px), (corner, corner))
    part = shown_part(whole, np.array([60.0, 100.0, 90.0, 50.0]), LIMITS[1])
    assert part.image_rgb.size < image.size / 4
    asked = (0, "some.jpg", (width, height), float(step_px))
    found = WholePictures(_Fixed(part)).read(*asked, annotated=True)
    assert found[1:] == whole[1:] and found.image_rgb.shape == image.shape
    held = found.image_rgb.any(axis=2)
    assert held.sum() == part.image_rgb.size / 3
    np.testing.assert_array_equal(found.image_rgb[held], image[held])
    assert WholePictures(_Fixed(whole)).read(*asked, annotated=True) is whole
    assert WholePictures(_Fixed(part)).read(*asked, annotated=False) is part
