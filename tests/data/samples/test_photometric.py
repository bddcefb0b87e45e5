"""Photometric presets: what they change, what they leave alone, and what they depend on."""

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from tiny_run import write_tiny_index
from torch.utils.data import DataLoader

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import (
    Augmentation,
    augmentation_stream,
    draw_motions,
)
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.photometric import (
    PHOTOMETRIC,
    Look,
    apply_look,
    draw_photograph_look,
    with_looks,
)
from gesture_pretrain.taxonomy import Taxonomy

SIZE = 64


@pytest.fixture
def crop():
    """Smooth colours with a bright square, so that blur and contrast show."""
    ramp = np.linspace(40, 200, SIZE)
    image = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 120.0), axis=-1)
    image[24:40, 24:40] = 230, 210, 190
    return image.astype(np.uint8)


def looks(count: int) -> list[Look]:
    return [draw_photograph_look(augmentation_stream(1, 0, row)) for row in range(count)]


def sharpness(image: np.ndarray) -> float:
    return float(np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean())


def test_the_usual_look_changes_nothing(crop):
    np.testing.assert_array_equal(apply_look(crop, Look()), crop)


def test_grey_gains_gamma_and_contrast(crop):
    grey = apply_look(crop, Look(grey=True))
    assert (grey == grey[..., :1]).all() and grey.std() > 10
    gained = apply_look(crop, Look(gains_rgb=(0.5, 1.0, 1.0)))
    np.testing.assert_array_equal(gained[..., 1:], crop[..., 1:])
    np.testing.assert_allclose(gained[..., 0], crop[..., 0] / 2, atol=0.5)
    darker = apply_look(crop, Look(gamma=2.0))
    np.testing.assert_allclose(darker, crop / 255.0 * crop, atol=0.51)
    assert apply_look(crop, Look(contrast=0.5)).std() > crop.std() > 0
    assert apply_look(crop, Look(contrast=-0.3)).std() < crop.std()


@pytest.mark.parametrize("look", [Look(blur=1.5), Look(motion=8.0), Look(shrink=0.3)])
def test_blur_motion_and_shrinking_soften_and_keep_the_brightness(crop, look):
    soft = apply_look(crop, look)
    assert soft.shape == crop.shape and sharpness(soft) < 0.8 * sharpness(crop)
    assert abs(float(soft.mean()) - float(crop.mean())) < 1


def test_motion_blurs_along_its_direction_only(crop):
    """A horizontal motion leaves horizontal edges sharp."""
    bars = np.zeros((SIZE, SIZE, 3), np.uint8)
    bars[20:40] = 255
    along = apply_look(bars, Look(motion=8.0, motion_rad=0.0))
    across = apply_look(bars, Look(motion=8.0, motion_rad=np.pi / 2))
    assert len(np.unique(along)) < 5 < len(np.unique(across))


def test_noise_has_its_strength_and_its_key(crop):
    first, again, other = (apply_look(crop, Look(noise=8.0, noise_key=k)) for k in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5
    # 12,288 draws: the deviation is known to 1 %
    assert 7.5 < (first.astype(float) - crop).std() < 8.5


def test_jpeg_and_cutout(crop):
    squeezed = apply_look(crop, Look(jpeg=20)).astype(float)
    assert 0.5 < np.abs(squeezed - crop).mean() < 10
    cut = apply_look(crop, Look(cutout=(-0.1, 0.5, 0.35, 0.25), cutout_rgb=(1, 2, 3)))
    covered = (cut == (1, 2, 3)).all(axis=-1)
    assert covered[32:48, :16].all() and covered.sum() == 256


def test_a_preset_draws_every_change_and_some_crops_without_each():
    found = looks(400)
    usual = Look()
    for name in ("grey", "gains_rgb", "blur", "motion", "shrink", "noise", "jpeg", "cutout"):
        changed = np.mean([getattr(look, name) != getattr(usual, name) for look in found])
        assert 0.03 < changed < 0.97, name


def test_crops_stay_recognisable(crop):
    """Seldom is the bright square lost; a preset that blackens crops would lose all of them."""
    contrast = []
    for look in looks(200):
        image = apply_look(crop, look).astype(float)
        contrast.append(image[26:38, 26:38].mean() - image[:20, :20].mean())
    assert np.mean(np.array(contrast) > 15) > 0.85


def test_a_preset_changes_no_geometric_draw():
    plain, strong = Augmentation(flip=0.5), Augmentation(flip=0.5, photometric="photographs")
    for row in range(5):
        first, second = (a.draw(augmentation_stream(2, 1, row)) for a in (plain, strong))
        assert first.look is None and replace(second, look=None) == first


def test_looks_depend_on_seed_epoch_and_row():
    augmentation = Augmentation(photometric="photographs")
    motions = draw_motions(augmentation, 7, [0, 1, 0], [3, 3, 4])
    assert len({motion.look for motion in motions}) == 3
    assert motions[1] == augmentation.draw(augmentation_stream(7, 1, 3))


def test_unknown_presets_and_images_without_bytes_are_refused():
    with pytest.raises(ValueError, match=" or ".join(repr(name) for name in PHOTOMETRIC)):
        Augmentation(photometric="photos")

    class Sample(NamedTuple):
        image: torch.Tensor

    with pytest.raises(ValueError, match="uint8"):
        with_looks([Sample(torch.zeros(3, 8, 8))], [Look()])


def test_loaded_crops_have_the_look_whatever_the_workers(tmp_path, crop):
    index = HandIndex.open(write_tiny_index(tmp_path))
    options = {"seed": 3, "announce": None}
    taxonomy = Taxonomy.load("interhand26m")
    augmentation = Augmentation(photometric="photographs")
    rows = range(12)
    dataset = GestureDataset(index, rows, taxonomy, 48, augmentation=augmentation, **options)
    plain = GestureDataset(index, rows, taxonomy, 48, augmentation=Augmentation(), **options)
    loaded = [s.image for s in dataset.__getitems__([(2, k) for k in rows])]
    for k in rows:
        look = augmentation.draw(augmentation_stream(3, 2, k)).look
        expected = apply_look(plain[2, k].image.permute(1, 2, 0).numpy(), look)
        np.testing.assert_array_equal(loaded[k].permute(1, 2, 0).numpy(), expected)
    epochs = [[(2, k) for k in rows][start : start + 4] for start in (8, 0, 4)]
    loader = DataLoader(dataset, batch_sampler=epochs, num_workers=2)
    shuffled = torch.cat([batch.image for batch in loader])
    order = [8, 9, 10, 11, *range(8)]
    assert torch.equal(shuffled, torch.stack([loaded[k] for k in order]))
