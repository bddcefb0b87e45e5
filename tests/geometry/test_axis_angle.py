"""Axis-angle vectors to matrices and back, at every size of angle."""

import numpy as np
import pytest

from gesture_pretrain.geometry.axis_angle import (
    cross_matrix,
    mirror_pose,
    rodrigues,
    rotation_vector,
)


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


def test_a_quarter_turn_about_z_takes_x_to_y():
    """A round trip alone would let both directions turn the wrong way."""
    turned = rodrigues([0, 0, np.pi / 2]) @ [1, 0, 0]
    np.testing.assert_allclose(turned, [0, 1, 0], atol=1e-15)
    np.testing.assert_array_equal(
        cross_matrix([1, 2, 3]) @ [4, 5, 6], np.cross([1, 2, 3], [4, 5, 6])
    )


def test_a_mirrored_pose_is_the_rotation_seen_in_the_mirror():
    pose = np.random.default_rng(0).normal(size=(4, 6))  # two joints
    mirror = np.diag([-1.0, 1.0, 1.0])
    expected = mirror @ rodrigues(pose.reshape(4, 2, 3)) @ mirror
    got = rodrigues(mirror_pose(pose).reshape(4, 2, 3))
    np.testing.assert_allclose(got, expected, atol=1e-15)
