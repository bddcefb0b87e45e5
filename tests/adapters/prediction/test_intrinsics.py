"""The camera of an image, and where a hand is before it."""

import numpy as np
import pytest

from adapters.prediction.image_hands import ImageHands
from adapters.prediction.image_source import SeenImage
from adapters.prediction.intrinsics import Intrinsics, intrinsics_of, wrist_in_camera
from adapters.prediction.prediction_writer import PredictionWriter
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


def test_results_state_the_camera_that_an_image_has(tmp_path):
    """They stated an assumed camera, although the network had used the given one."""
    image = np.zeros((48, 64, 3), np.uint8)
    given = Intrinsics(90.0, (10.0, 20.0), assumed=False)
    writer = PredictionWriter(tmp_path, network={}, faces={}, mesh_format=None, draw=False)
    for camera in (given, None):
        writer.add(ImageHands(SeenImage("a.jpg", image, camera=camera), [], [], []))
    stated = [entry["camera"] for entry in writer.images]
    assert stated == [given._asdict(), intrinsics_of((64, 48))._asdict()]
