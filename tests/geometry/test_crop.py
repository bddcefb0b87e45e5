"""Crops against the golden values, whose makers computed in float32, and by hand."""

import numpy as np
import pytest

from gesture_pretrain.geometry.crop import (
    apply_affine,
    crop_affine,
    crop_rotation,
    invert_affine,
)
from gesture_pretrain.skeleton import MANO21_FROM_INTERHAND

PIXEL, MM, AFFINE = 2e-3, 2e-3, 1e-5


def test_affines_equal_golden(golden_views):
    for view in golden_views:
        expected = view.golden["eanet"]
        affine = crop_affine(expected["bbox_xywh_after_process_bbox"], 256)
        np.testing.assert_allclose(affine, expected["img2bb_trans_256"], atol=AFFINE)
        inverse = invert_affine(affine)
        np.testing.assert_allclose(inverse, expected["bb2img_trans_256"], atol=AFFINE)


@pytest.mark.parametrize(
    ("target", "rotation_deg", "flip"),
    [("target_no_aug", 0, False), ("target_flip_rot30", 30, True)],
)
def test_crop_of_points_and_vectors_equals_golden(golden_views, target, rotation_deg, flip):
    """Heat map cells of 1/32 of the crop; joints relative to the wrist, in metres."""
    for view in golden_views:
        expected, joints = view.golden["eanet"][target], view.joints_cam_mm
        affine = crop_affine(
            view.golden["eanet"]["bbox_xywh_after_process_bbox"], 256,
            rotation_deg=rotation_deg, flip=flip,
        )  # fmt: skip
        turn = crop_rotation(rotation_deg=rotation_deg, flip=flip)
        for hand in (0, 1):
            rows = 21 * hand + np.array(MANO21_FROM_INTERHAND)
            hand_out = 1 - hand if flip else hand
            out = slice(21 * hand_out, 21 * hand_out + 21)
            seen = view.valid[rows]
            if not seen[0]:
                continue
            cells = apply_affine(view.pixels[rows], affine) / 32
            golden_cells = np.array(expected["joint_img_hm8_mano_order"])[out, :2]
            np.testing.assert_allclose(cells[seen], golden_cells[seen], atol=PIXEL / 32 * 2)
            relative_m = (joints[rows] - joints[rows[0]]) @ turn.T / 1000
            golden_m = np.array(expected["joint_cam_root_relative_m_mano_order"])[out]
            np.testing.assert_allclose(relative_m[seen], golden_m[seen], atol=MM / 1000)


def test_a_crop_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="width > 0"):
        crop_affine((0, 0, 0, 5), 256)
    with pytest.raises(ValueError, match="must be positive"):
        crop_affine((0, 0, 5, 5), 256, scale=0)
    with pytest.raises(ValueError, match="must be positive"):
        crop_affine((0, 0, 5, 5), 0)


def test_crop_maps_centre_and_corner():
    affine = crop_affine((10, 20, 40, 40), 80)
    mapped = apply_affine([[30, 40], [10, 20]], affine)
    np.testing.assert_allclose(mapped, [[40, 40], [0, 0]], atol=1e-5)


def test_a_larger_scale_shows_more_around_the_same_centre():
    affine = crop_affine((10, 20, 40, 40), 80, scale=2)  # the box -10 .. 70, 0 .. 80
    mapped = apply_affine([[30, 40], [-10, 0], [70, 80]], affine)
    np.testing.assert_allclose(mapped, [[40, 40], [0, 0], [80, 80]], atol=1e-5)


def test_a_box_that_is_not_square_is_stretched():
    affine = crop_affine((0, 0, 40, 20), 80)
    np.testing.assert_allclose(
        apply_affine([[40, 0], [0, 20]], affine), [[80, 0], [0, 80]], atol=1e-5
    )


def test_a_box_turned_to_the_right_turns_its_content_to_the_left():
    """By hand: 10 px right of the centre comes to lie 10 px above it, in pixels and in vectors."""
    affine = crop_affine((0, 0, 40, 40), 40, rotation_deg=90)
    np.testing.assert_allclose(apply_affine([30, 20], affine), [20, 10], atol=1e-5)
    turned = crop_rotation(rotation_deg=90) @ [1.0, 0, 7]
    np.testing.assert_allclose(turned, [0, -1, 7], atol=1e-15)
    flipped = crop_rotation(rotation_deg=90, flip=True) @ [1.0, 0, 7]
    np.testing.assert_allclose(flipped, [0, 1, 7], atol=1e-15)


def test_an_inverse_undoes_its_map():
    affine = crop_affine((3, 5, 40, 30), 64, scale=1.3, rotation_deg=25, flip=True)
    points = np.array([[1.0, 2.0], [30.0, -4.0]])
    back = apply_affine(apply_affine(points, affine), invert_affine(affine))
    np.testing.assert_allclose(back, points, atol=1e-12)  # float64 on numbers below 100
