"""Cameras against the golden values, whose makers computed in float32."""

import cv2
import numpy as np
import pytest

from gesture_pretrain.geometry.camera import (
    project_px,
    translation_of_camera_mm,
    viewing_rotation,
    world_to_camera_mm,
)

PIXEL, MM = 2e-3, 2e-3


def test_cameras_equal_golden(golden_views):
    for view in golden_views:
        np.testing.assert_allclose(view.rotation, view.golden["eanet"]["R"], atol=1e-7)
        translation = translation_of_camera_mm(view.rotation, view.centre_mm)
        np.testing.assert_allclose(translation, view.golden["eanet"]["t_mm"], atol=MM)
        expected = view.golden["mmpose"]
        seen = np.array(expected["keypoints_visible"], bool)
        np.testing.assert_allclose(
            view.joints_cam_mm[seen], np.array(expected["keypoints_cam_mm"])[seen], atol=MM
        )
        np.testing.assert_allclose(
            view.pixels[seen], np.array(expected["keypoints_image_px"])[seen], atol=PIXEL
        )


def test_points_behind_the_camera_have_no_pixel():
    pixels = project_px([[1, 1, -5], [1, 1, 0], [1, 1, 2]], (100, 100), (0, 0))
    assert np.isnan(pixels[:2]).all()
    np.testing.assert_array_equal(pixels[2], [50, 50])


QUARTER_TURN = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # x to y, y to -x


def test_a_camera_by_hand():
    """Seen from (10, 0, 0), the point (13, 4, 5) is off by (3, 4, 5), which is turned."""
    centre = (10, 0, 0)
    seen = world_to_camera_mm([13, 4, 5], QUARTER_TURN, centre)
    np.testing.assert_array_equal(seen, [-4, 3, 5])
    moved = np.array(QUARTER_TURN) @ [13, 4, 5] + translation_of_camera_mm(QUARTER_TURN, centre)
    np.testing.assert_array_equal(moved, seen)
    np.testing.assert_array_equal(project_px(seen, (100, 200), (50, 60)), [-30, 180])


@pytest.mark.parametrize("point_px", [(50.0, 60.0), (410.0, 60.0), (-300.0, 700.0)])
def test_a_view_looks_along_the_ray_of_its_pixel_by_the_shortest_rotation(point_px):
    focal, centre = np.array([400.0, 500.0]), np.array([50.0, 60.0])
    rotation = viewing_rotation(point_px, focal, centre)
    ray = np.append((point_px - centre) / focal, 1.0)
    ray /= np.linalg.norm(ray)
    axis = np.cross([0, 0, 1], ray)
    expected = cv2.Rodrigues(axis * np.arccos(ray[2]) / max(np.linalg.norm(axis), 1e-12))[0]
    np.testing.assert_allclose(rotation, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(rotation @ [0, 0, 1], ray, rtol=0, atol=1e-12)
