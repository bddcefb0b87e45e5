"""Errors after similarity alignment against scipy's rotation, and what is refused."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gesture_pretrain.evaluation.poses.procrustes import procrustes_errors
from gesture_pretrain.geometry.axis_angle import rodrigues


@pytest.fixture
def hands():
    """300 noisy predictions of 21 points, any rotation, 1 m away, mm."""
    rng = np.random.default_rng(0)
    target = rng.normal(0, 30, (300, 21, 3)) + [20, -30, 1000]
    turn = rodrigues(rng.normal(0, 1.5, (300, 3)))
    noise = rng.normal(0, 1, target.shape) * rng.uniform(0, 30, (300, 1, 1))
    return 0.7 * (target + noise) @ turn, target


def test_equals_the_rotation_that_scipy_finds(hands):
    predicted, target = (points[:20] for points in hands)
    for ours, source, goal in zip(
        procrustes_errors(predicted, target), predicted, target, strict=True
    ):
        source, goal = source - source.mean(0), goal - goal.mean(0)
        moved = Rotation.align_vectors(goal, source)[0].apply(source)
        moved *= np.sum(moved * goal) / np.sum(moved**2)
        np.testing.assert_allclose(ours, np.linalg.norm(moved - goal, axis=1), atol=1e-9)


def test_a_similarity_costs_nothing_and_a_mirror_image_does(hands):
    _, target = hands
    turn = rodrigues(np.array([[0.3, -2.0, 1.1]]))
    np.testing.assert_allclose(procrustes_errors(0.4 * target @ turn + 7, target), 0, atol=1e-9)
    assert procrustes_errors(target * [-1, 1, 1], target).mean(1).min() > 1


def test_points_that_are_not_valid_do_not_matter(hands):
    predicted, target = (points.copy() for points in hands)
    valid = np.random.default_rng(1).random(predicted.shape[:2]) < 0.8
    expected = [
        procrustes_errors(p[None, v], t[None, v])[0]
        for p, t, v in zip(predicted, target, valid, strict=True)
    ]
    predicted[~valid], target[~valid] = np.nan, np.inf
    errors = procrustes_errors(predicted, target, valid)
    np.testing.assert_array_equal(np.isnan(errors), ~valid)
    np.testing.assert_allclose(errors[valid], np.concatenate(expected), atol=1e-9, rtol=0)


def test_meshes_and_float32_and_no_samples(hands):
    predicted, target = (points.reshape(-1, 105, 3) for points in hands)
    single = procrustes_errors(predicted.astype(np.float32), target)
    np.testing.assert_allclose(single, procrustes_errors(predicted, target), atol=1e-3)
    assert procrustes_errors(predicted[:0], target[:0]).shape == (0, 105)


def test_what_cannot_be_aligned_is_refused(hands):
    predicted, target = hands
    line = target * [1, 0, 0]
    with pytest.raises(ValueError, match="collinear"):
        procrustes_errors(predicted, line)
    two = np.zeros(predicted.shape[:2], bool)
    two[:, :2] = True
    with pytest.raises(ValueError, match="three valid points"):
        procrustes_errors(predicted, target, two)
    target = target.copy()
    target[7, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        procrustes_errors(predicted, target)
    with pytest.raises(ValueError, match="equal shapes"):
        procrustes_errors(predicted[:, :20], target)
