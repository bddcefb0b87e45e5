"""Errors of wrist-relative joints by hand."""

import numpy as np
import pytest

from gesture_pretrain.evaluation.features.joint_error import joint_errors_mm, mpjpe_mm


def test_mpjpe_leaves_the_wrist_out():
    truth = np.zeros((2, 21, 3))
    predicted = np.zeros((2, 21, 3))
    predicted[:, 1:, 0] = 10.0  # 20 joints off by 10 mm, the wrist exact: 10, not 200 / 21
    assert mpjpe_mm(predicted, truth, np.ones((2, 21), bool)) == 10.0


def test_mpjpe_leaves_hands_without_wrist_and_invalid_joints_out():
    truth, predicted = np.zeros((2, 21, 3)), np.ones((2, 21, 3))
    valid = np.ones((2, 21), bool)
    valid[0, 0] = False
    valid[1, 5] = False
    errors = joint_errors_mm(predicted, truth, valid)
    assert np.isnan(errors[0]).all() and np.isnan(errors[1, [0, 5]]).all()
    assert np.isfinite(errors[1]).sum() == 19


def test_mpjpe_without_any_joint_is_an_error():
    with pytest.raises(ValueError, match="No joint is valid"):
        mpjpe_mm(np.zeros((1, 21, 3)), np.zeros((1, 21, 3)), np.zeros((1, 21), bool))


def test_missing_prediction_of_a_valid_joint_is_an_error():
    predicted = np.zeros((1, 21, 3))
    predicted[0, 4] = np.nan
    with pytest.raises(ValueError, match="1 valid joints have no finite prediction"):
        mpjpe_mm(predicted, np.zeros((1, 21, 3)), np.ones((1, 21), bool))
