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


def test_crop_maps_centre_and_corner():
    affine = crop_affine((10, 20, 40, 40), 80)
    mapped = apply_affine([[30, 40], [10, 20]], affine)
    np.testing.assert_allclose(mapped, [[40, 40], [0, 0]], atol=1e-5)
