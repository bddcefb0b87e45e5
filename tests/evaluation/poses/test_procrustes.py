"""The closed-form alignment against the singular value decomposition of `geometry`."""

import numpy as np
import pytest

from gesture_pretrain.evaluation.poses.procrustes import procrustes_errors
from gesture_pretrain.geometry.axis_angle import rodrigues
from gesture_pretrain.geometry.similarity import procrustes_align

LIMIT_MM = 1e-6  # the promise; most cases meet 1e-10


def _careful(predicted, target, valid=None):
    errors = np.linalg.norm(procrustes_align(predicted, target, valid) - target, axis=-1)
    return errors if valid is None else np.where(valid, errors, np.nan)


@pytest.fixture
def hands():
    """5000 noisy predictions of 21 points, any rotation, 1 m away, mm."""
    rng = np.random.default_rng(0)
    target = rng.normal(0, 30, (5000, 21, 3)) + [20, -30, 1000]
    turn = rodrigues(rng.normal(0, 1.5, (5000, 3)))
    noise = rng.normal(0, 1, target.shape) * rng.uniform(0, 30, (5000, 1, 1))
    return 0.7 * (target + noise) @ turn, target


def test_equals_the_decomposition_whatever_the_rotation(hands):
    np.testing.assert_allclose(procrustes_errors(*hands), _careful(*hands), atol=LIMIT_MM, rtol=0)


SHAPES = {
    "mirrored": [-1, 1, 1],
    "flat": [1, 1, 0],
    "almost flat": [1, 1, 1e-6],
    "a line": [1, 0, 0],
    "almost a line": [1, 1e-5, 1e-6],
    "a point": [0, 0, 0],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_it_where_the_rotation_is_poorly_known(hands, shape):
    predicted, target = hands
    predicted = (predicted - predicted.mean(1, keepdims=True)) * SHAPES[shape]
    errors, careful = procrustes_errors(predicted, target), _careful(predicted, target)
    np.testing.assert_allclose(errors, careful, atol=LIMIT_MM, rtol=0)


def test_flat_targets_that_mirror_onto_themselves(hands):
    """Both sides flat and mirrored: two rotations fit equally well, the error is the same."""
    _, target = hands
    flat = (target - target.mean(1, keepdims=True)) * [1, 1, 0]
    np.testing.assert_allclose(procrustes_errors(flat * [-1, 1, 1], flat), 0, atol=LIMIT_MM)


def test_points_that_are_not_valid_do_not_matter(hands):
    predicted, target = (points.copy() for points in hands)
    valid = np.random.default_rng(1).random(predicted.shape[:2]) < 0.8
    expected = _careful(predicted, target, valid)
    predicted[~valid], target[~valid] = np.nan, np.inf
    errors = procrustes_errors(predicted, target, valid)
    np.testing.assert_array_equal(np.isnan(errors), ~valid)
    np.testing.assert_allclose(errors[valid], expected[valid], atol=LIMIT_MM, rtol=0)


def test_meshes_and_float32_and_no_samples(hands):
    predicted, target = (points.reshape(-1, 105, 3) for points in hands)
    np.testing.assert_allclose(
        procrustes_errors(predicted, target), _careful(predicted, target), atol=LIMIT_MM
    )
    single = procrustes_errors(predicted.astype(np.float32), target)
    np.testing.assert_allclose(single, procrustes_errors(predicted, target), atol=1e-3)
    assert procrustes_errors(predicted[:0], target[:0]).shape == (0, 105)


def test_what_cannot_be_aligned_is_refused(hands):
    predicted, target = hands
    line = target * [1, 0, 0]
    with pytest.raises(ValueError, match="not on one line"):
        procrustes_errors(predicted, line)
    two = np.zeros(predicted.shape[:2], bool)
    two[:, :2] = True
    with pytest.raises(ValueError, match="three valid points"):
        procrustes_errors(predicted, target, two)
    target = target.copy()
    target[7, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        procrustes_errors(predicted, target)
    with pytest.raises(ValueError, match="alike"):
        procrustes_errors(predicted[:, :20], target)


def test_ordinary_hands_take_the_fast_way_masked_or_not(hands, monkeypatch):
    """Guards the centring about valid points: with a wrong one every hand is rescued, slowly."""

    def careful_way(*_):
        raise AssertionError("an ordinary hand was aligned by a decomposition of its own")

    monkeypatch.setattr(
        "gesture_pretrain.evaluation.poses.procrustes.procrustes_align", careful_way
    )
    predicted, target = hands
    valid = np.random.default_rng(1).random(predicted.shape[:2]) < 0.8
    # mostly the target itself: no rotation near a half turn, for which the careful way is right
    ordinary = target[:50] + 0.1 * predicted[:50]
    procrustes_errors(ordinary, target[:50])
    procrustes_errors(ordinary, target[:50], valid[:50])
