"""The camera of an image, and where a hand is before it."""

import numpy as np
import pytest

from adapters.prediction.intrinsics import intrinsics_of, wrist_in_camera
from gesture_pretrain.geometry.camera import project_px


def test_an_assumed_camera_sees_60_degrees_along_the_longer_side():
    for size in ((640, 480), (480, 640)):
        camera = intrinsics_of(size)
        assert camera.assumed and camera.focal_px == pytest.approx(320 / np.tan(np.radians(30)))
    given = intrinsics_of((640, 480), 500.0)
    assert (given.focal_px, given.centre_px, given.assumed) == (500.0, (319.5, 239.5), False)


def test_a_projected_hand_is_placed_where_it_was():
    camera = intrinsics_of((640, 480))
    joints = 80 * np.random.default_rng(0).standard_normal((21, 3))
    joints -= joints[0]
    wrist = np.array([60.0, -40.0, 700.0])
    pixels = project_px(joints + wrist, (camera.focal_px,) * 2, camera.centre_px)
    np.testing.assert_allclose(wrist_in_camera(joints, pixels, camera), wrist, rtol=1e-6)
    assert wrist_in_camera(joints, 2 * np.array(camera.centre_px) - pixels, camera) is None
