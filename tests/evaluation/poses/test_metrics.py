"""Each metric on a case worked out by hand; the golden values need the reference samples."""

import numpy as np
import pytest

from gesture_pretrain.evaluation.poses.metrics import (
    MIDDLE_KNUCKLE,
    PckCurve,
    auc,
    bone_scale,
    distances,
    f_scores,
    root_aligned_errors,
)


def test_a_distance_is_euclidean():
    assert distances([[[1.0, 2, 3]]], [[[4.0, 6, 15]]]) == 13  # 3, 4, 12


def test_bone_scale_is_truth_over_prediction():
    predicted, truth = np.ones((1, 21, 3)), np.full((1, 21, 3), 7.0)  # the wrist is at no origin
    predicted[0, MIDDLE_KNUCKLE] += (0, 3, 4)
    truth[0, MIDDLE_KNUCKLE] += (10, 0, 0)
    assert bone_scale(predicted, truth) == 2
    assert bone_scale(truth * 0, truth) == np.inf


def test_root_aligned_error_scales_about_the_root():
    predicted, target = [[[5.0, 1, 1]]], [[[19.0, 0, 0]]]
    errors = root_aligned_errors(predicted, target, [[1.0, 1, 1]], [[10.0, 0, 0]], [2.0])
    assert errors == 1  # 2 (5 - 1) against 19 - 10


def test_pck_counts_the_threshold_itself_and_leaves_out_nan():
    curve = PckCurve(2, np.array([0.0, 10.0, 20.0]))
    curve.add(np.array([[10.0, np.nan], [10.1, np.nan]]))
    curve.add(np.array([[30.0, np.nan], [0.0, 20.0]]))
    assert curve.shares().tolist() == [[0.25, 0.5, 0.75], [0, 0, 1]]
    # trapezoids of width 10 over a range of 20: (0.375 + 0.625) / 2, (0 + 0.5) / 2
    assert curve.auc() == (0.5 + 0.25) / 2


def test_auc_of_errors_of_zero_and_out_of_range():
    assert auc(np.zeros((3, 2))) == pytest.approx(1, abs=1e-12)
    assert auc(np.full((3, 2), 50.1)) == 0


def test_f_score_by_hand():
    """Of two predicted points one is near the only true one: precision 1/2, recall 1."""
    predicted, target = [[[0.0, 0, 1], [0, 0, 9]]], [[[0.0, 0, 0]]]
    scores = f_scores(predicted, target, (1.0, 1.1, 0.5, 9.1))
    # a distance of the threshold itself is not below it
    np.testing.assert_allclose(scores, [[0, 2 / 3, 0, 1]], rtol=1e-15)
