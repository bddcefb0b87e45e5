"""Anchors, decoding and merging of palms, against values worked out by hand."""

import numpy as np
import pytest

from adapters.detection.hand_landmarks import hand_square
from adapters.detection.palm_detector import (
    Palm,
    anchor_centres,
    decoded_points,
    merge_overlapping,
)
from gesture_pretrain.geometry.crop import apply_affine, crop_affine


def test_anchors_are_two_per_fine_cell_and_six_per_coarse_cell():
    anchors = anchor_centres() * 192
    assert anchors.shape == (2016, 2)
    np.testing.assert_allclose(anchors[:4], [[4, 4], [4, 4], [12, 4], [12, 4]])
    np.testing.assert_allclose(anchors[1152:1159, 0], [8] * 6 + [24])
    np.testing.assert_allclose(anchors[-1], [184, 184])


def test_offsets_are_about_the_anchor():
    offsets = np.zeros((1, 18), np.float32)
    offsets[0, :6] = 1, 2, 20, 10, 5, -5
    points = decoded_points(offsets, np.array([[100.0, 50.0]]))
    np.testing.assert_allclose(points[0, :3], [[91, 47], [111, 57], [105, 45]])
    np.testing.assert_allclose(points[0, 3:], [[100, 50]] * 6)


def test_overlapping_palms_are_averaged_by_score():
    corners = np.array([[[0, 0], [10, 10]], [[2, 0], [12, 10]], [[50, 50], [60, 60]]], float)
    found = merge_overlapping(corners, np.array([0.6, 0.9, 0.8]))
    assert [score for _, score in found] == [0.9, 0.8]
    np.testing.assert_allclose(found[0][0], [[1.2, 0], [11.2, 10]])
    np.testing.assert_allclose(found[1][0], corners[2])


def test_palms_without_area_are_kept_once_each():
    assert len(merge_overlapping(np.zeros((3, 2, 2)), np.array([0.5, 0.6, 0.7]))) == 3
    assert merge_overlapping(np.zeros((0, 2, 2)), np.zeros(0)) == []


@pytest.mark.parametrize(
    ("towards", "degrees"), [((0, -1), 0), ((1, 0), 90), ((0, 1), 180), ((-1, 0), -90)]
)
def test_the_square_turns_the_fingers_up(towards, degrees):
    keypoints = np.full((7, 2), 100.0)
    keypoints[2] += 20 * np.array(towards)
    palm = Palm(np.array([80.0, 80, 120, 120]), keypoints, 1.0)
    square, rotation_deg = hand_square(palm)
    assert rotation_deg == pytest.approx(degrees)
    assert square[2:] == pytest.approx(104)
    to_crop = crop_affine(square, 224, rotation_deg=rotation_deg)
    wrist, knuckle = apply_affine(keypoints[[0, 2]], to_crop)
    assert knuckle[0] == pytest.approx(wrist[0], abs=1e-3) and knuckle[1] < wrist[1]
    np.testing.assert_allclose(apply_affine(square[:2] + 52, to_crop), [112, 112], atol=1e-3)
