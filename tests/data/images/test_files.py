"""Reduced decoding shows the same place with less error, and image sizes are checked."""

import cv2
import numpy as np
import pytest

from gesture_pretrain.data.images import ImageFiles, ImagePart, read_image_rgb, reduced_image
from gesture_pretrain.data.images.files import reduction
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.samples.augmentation import Motion, crop_maps, warp

WIDTH, HEIGHT, SIZE = 515, 389, 64


@pytest.fixture(scope="module")
def photograph(tmp_path_factory) -> str:
    """Odd sides; shapes of 12 pixels and noise of one."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (HEIGHT // 12, WIDTH // 12, 3), np.uint8)
    path = tmp_path_factory.mktemp("image") / "photograph.jpg"
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    image = (0.8 * image + random.normal(0, 15, image.shape)).clip(0, 255)
    cv2.imwrite(str(path), image.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 98])
    return str(path)


def _affine(side: float) -> np.ndarray:
    box = np.array([[(WIDTH - side) / 2 + 3, (HEIGHT - side) / 2 - 2, side, side]])
    return crop_maps(box, [Motion(rotation_deg=20)], [False], SIZE)[0][0]


def _ideal(image: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The crop with each pixel averaged over 8 x 8 points of its area."""
    fine = affine * 8
    fine[:, 2] = affine[:, 2] * 8 + 3.5
    large = warp(image, fine, SIZE * 8).astype(np.float32)
    return cv2.resize(large, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(("shrink", "factor"), [(2.3, 2), (4.1, 4)])
def test_a_reduced_decode_shows_the_same_place_with_less_error(photograph, shrink, factor):
    affine = _affine(shrink * SIZE)
    reading = {"size_wh": (WIDTH, HEIGHT), "shrink": shrink, "bounds_px": np.zeros(4)}
    crops = {}
    for reduced in (False, True):
        image = ImageFiles(reduced_decode=reduced).read(0, photograph, **reading)
        assert image.step_px == (factor if reduced else 1)
        crops[reduced] = warp(image.image_rgb, image.crop_affine(affine), SIZE)
    ideal = _ideal(read_image_rgb(photograph, 0), affine)
    errors = {reduced: np.abs(crop - ideal).mean() for reduced, crop in crops.items()}
    assert errors[True] < 0.8 * errors[False]
    # half a stored pixel to the side would show the wrong place
    shifted = image._replace(origin_px=(image.origin_px[0] + factor / 2, image.origin_px[1]))
    moved = warp(shifted.image_rgb, shifted.crop_affine(affine), SIZE)
    assert np.abs(moved - ideal).mean() > 1.5 * errors[True]


def test_the_reduction_never_exceeds_what_the_crop_skips():
    assert [reduction(shrink) for shrink in (0.5, 1.99, 2, 3.9, 4, 7.9, 8, 50)] == [
        1, 1, 2, 2, 4, 4, 8, 8,
    ]  # fmt: skip


@pytest.mark.parametrize("shrink", [1.9, 2.3, 4.1, 9.0])
def test_a_decoded_image_is_reduced_as_its_file_is(photograph, shrink):
    reading = {"size_wh": (WIDTH, HEIGHT), "shrink": shrink, "bounds_px": np.zeros(4)}
    file = ImageFiles().read(0, photograph, **reading)
    ours = reduced_image(read_image_rgb(photograph, 0), shrink)
    assert (ours.step_px, ours.origin_px) == (file.step_px, file.origin_px)
    assert ours.image_rgb.shape == file.image_rgb.shape
    # brightness, which a JPEG file stores in full; libjpeg rounds it to levels after the average,
    # we before. Colours are stored at half the scale and differ as one smooths them for the other.
    one, other = (cv2.cvtColor(p.image_rgb, cv2.COLOR_RGB2GRAY).astype(int) for p in (ours, file))
    assert np.abs(one - other).mean() < 0.7
    assert np.abs(one[:, 1:] - other[:, :-1]).mean() > 5  # one stored pixel aside


def test_other_formats_are_decoded_whole(tmp_path):
    path = str(tmp_path / "image.png")
    cv2.imwrite(path, np.zeros((40, 40, 3), np.uint8))
    image = ImageFiles().read(0, path, (40, 40), 4.0, np.zeros(4))
    assert image.image_rgb.shape == (40, 40, 3) and image.step_px == 1


@pytest.mark.parametrize("shrink", [1.0, 2.0])
def test_another_size_than_annotated_is_an_error_at_every_scale(photograph, shrink):
    with pytest.raises(DataError, match="row 5 is .* but its annotation says 600 x 389"):
        ImageFiles().read(5, photograph, (600, HEIGHT), shrink, np.zeros(4))


def test_a_map_is_moved_to_the_stored_pixels():
    """An original pixel and its stored one go to the same place of the crop."""
    affine = np.array([[0.5, 0.1, 3.0], [-0.1, 0.5, 7.0]])
    image = ImagePart(np.zeros((1, 1, 3), np.uint8), 0.5, (10.0, 20.0))
    stored = np.array([6.0, 8.0])
    original = 0.5 * stored + [10.0, 20.0]
    moved = image.crop_affine(affine)
    np.testing.assert_allclose(
        moved[:, :2] @ stored + moved[:, 2], affine[:, :2] @ original + affine[:, 2], rtol=1e-12
    )
