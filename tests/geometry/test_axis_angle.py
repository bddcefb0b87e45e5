"""Axis-angle vectors to matrices and back, at every size of angle."""

import numpy as np
import pytest

from gesture_pretrain.geometry.axis_angle import rodrigues, rotation_vector


@pytest.mark.parametrize("angle", [0, 1e-7, 1e-4, 0.5, 3.0, np.pi - 1e-7, np.pi])
def test_axis_angle_round_trip(angle):
    axes = np.random.default_rng(0).normal(size=(200, 3))
    vectors = axes / np.linalg.norm(axes, axis=1, keepdims=True) * angle
    rotations = rodrigues(vectors)
    products = rotations @ np.swapaxes(rotations, 1, 2)
    np.testing.assert_allclose(products, np.tile(np.eye(3), (200, 1, 1)), atol=1e-14)
    back = rotation_vector(rotations)
    # a few roundings of numbers up to pi; at pi both signs mean the same rotation
    if angle == np.pi:
        back *= np.sign(np.sum(back * vectors, axis=1, keepdims=True))
    np.testing.assert_allclose(back, vectors, atol=1e-14, rtol=1e-8)
    np.testing.assert_allclose(rodrigues(back), rotations, atol=1e-14)
