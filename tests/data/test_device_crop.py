"""Crops made on the device are those of the loader."""

import cv2
import numpy as np
import pytest
import torch

from gesture_pretrain.data.device_crop import crop_batch, shown_part
from gesture_pretrain.data.picture import Picture
from gesture_pretrain.data.transforms import Augmentation, crop_maps, crop_pixels

# Both interpolate in float32 and round to bytes: a sum near a half may round to the other side.
# A colour gain of up to 1.5 then makes one grey level two.
LEVELS, LEVELS_COLOURED, SHARE = 1, 2, 0.01


def pictures():
    noise = np.random.default_rng(0).integers(0, 256, (90, 140, 3), np.uint8)  # hardest edges
    smooth = cv2.resize(noise[:6, :9], (140, 90), interpolation=cv2.INTER_CUBIC)
    reduced = Picture(noise, step_px=2.0, origin_px=(10.5, 4.5))
    return [Picture(noise), Picture(smooth), reduced]


def crop_of(picture, affine, size, gain):
    part, back = shown_part(picture, affine, size)
    planes = torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)))[None]
    gains = torch.tensor([gain], dtype=torch.float32)
    crop = crop_batch(planes, torch.from_numpy(back.astype(np.float32))[None], gains, size)
    return crop[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("colour, levels", [(0.0, LEVELS), (0.5, LEVELS_COLOURED)])
@pytest.mark.parametrize("picture", pictures(), ids=["noise", "smooth", "reduced"])
def test_pixels_are_those_of_opencv(picture, colour, levels):
    random = np.random.default_rng(1)
    motions = Augmentation(scale=0.3, rotation_deg=180, translation=0.4, colour=colour)
    for k in range(20):
        motion = motions.draw(random)
        side = random.uniform(30, 160)
        box = np.array([[*random.uniform(-40, 90, 2), side, side]])
        affine = crop_maps(box, [motion], [bool(k % 2)], 48)[0][0]
        expected = crop_pixels(picture, affine, 48, motion.gain_rgb).astype(int)
        apart = np.abs(expected - crop_of(picture, affine, 48, motion.gain_rgb))
        assert apart.max() <= levels and (apart > 0).mean() <= SHARE


def test_a_crop_beside_the_picture_is_black_and_a_small_part_is_sent():
    picture = pictures()[0]
    beside = crop_maps(np.array([[900.0, 900, 20, 20]]), [Augmentation().draw(
        np.random.default_rng(0))], [False], 16)[0][0]  # fmt: skip
    assert crop_of(picture, beside, 16, (1, 1, 1)).max() == 0
    corner = np.array([[2.0, 0, -20], [0, 2.0, -30]])  # shows 8 x 8 pixels from (10, 15)
    part, back = shown_part(picture, corner, 16)
    assert part.shape == (13, 13, 3)  # 8.5 px and what interpolation and rounding look at
    assert back @ [0, 0, 1] == pytest.approx([2, 2])
