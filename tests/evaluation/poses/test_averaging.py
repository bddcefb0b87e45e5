"""The order of the means, by hand: two joints' worth of errors on few images."""

import numpy as np
import pytest

from gesture_pretrain.evaluation.poses.averaging import average
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS

NAN = np.nan


def _joints(**errors):
    """(21,) mm: NaN but for the named rows."""
    values = np.full(21, NAN)
    for row, error in errors.items():
        values[int(row[1:])] = error
    return values


@pytest.fixture
def case():
    """Right, right, left, and an interacting image; joints 1 and 2."""
    return {
        "joint_mm": np.stack(
            [
                _joints(j1=1, j2=2),  # image 0, right
                _joints(j1=3),  # image 1, right
                _joints(j1=8, j2=12),  # image 2, left
                _joints(j1=20, j2=30),  # image 3, right
                _joints(j1=40),  # image 3, left
            ]
        ),
        "vertex_mm": np.array([1.0, 3.0, 10.0, 20.0, 40.0]),
        "rows": np.array([0, 1, 2, 3, 3]),
        "hand": np.array([0, 0, 1, 0, 1]),
        "interacting": np.array([False, False, False, True, True]),
    }


def test_pairs_count_every_joint_once(case):
    means = average(PROTOCOLS["mmpose_interhand"], **case).mpjpe_mm
    assert means["single"] == pytest.approx((1 + 2 + 3 + 8 + 12) / 5)
    assert means["interacting"] == pytest.approx(30)
    assert means["all"] == pytest.approx((26 + 90) / 8)


def test_joints_first_weigh_each_joint_alike(case):
    """right 1: (1+3)/2, right 2: 2, left 1: 8, left 2: 12; then the mean of the four."""
    means = average(PROTOCOLS["eanet_corrected"], **case)
    assert means.mpjpe_mm["single"] == pytest.approx((2 + 2 + 8 + 12) / 4)
    assert means.mpjpe_mm["interacting"] == pytest.approx((20 + 30 + 40) / 3)
    # EANet's "all" is the mean over both groups' joints, not over samples
    assert means.mpjpe_mm["all"] == pytest.approx((2 + 2 + 8 + 12 + 20 + 30 + 40) / 7)
    internet = average(PROTOCOLS["interwild"], **case).mpjpe_mm
    right_1, right_2, left_1, left_2 = (1 + 3 + 20) / 3, (2 + 30) / 2, (8 + 40) / 2, 12
    assert internet["all"] == pytest.approx((right_1 + right_2 + left_1 + left_2) / 4)


def test_joints_without_samples_are_nan_and_named_or_left_out(case):
    published = average(PROTOCOLS["eanet_upstream"], **case)
    assert np.isnan(published.mpjpe_mm["single"])  # 38 of 42 joints have no sample here
    assert len(published.empty_joints["single"]) == 38
    assert "left thumb1" not in published.empty_joints["single"]
    assert published.joints["single"] == "both hands, 4 of 42 joints"


def test_one_handed_data_are_averaged_over_their_hand(case):
    right = case["hand"] == 0
    one_handed = {name: values[right] for name, values in case.items()}
    means = average(PROTOCOLS["interhand_wrist"], **one_handed)
    assert np.isfinite(means.mpjpe_mm["all"])
    one_handed["joint_mm"] = np.ones((right.sum(), 21))
    means = average(PROTOCOLS["interhand_wrist"], **one_handed)
    assert means.joints["all"] == "right hand, 21 joints" and means.mpjpe_mm["all"] == 1


def test_meshes_of_two_hands_are_one_sample(case):
    means = average(PROTOCOLS["eanet_corrected"], **case).mpvpe_mm
    assert means["single"] == pytest.approx((1 + 3 + 10) / 3)
    assert means["interacting"] == pytest.approx((20 + 40) / 2)
    assert means["all"] == pytest.approx((1 + 3 + 10 + 30) / 4)
    case["vertex_mm"][4] = NAN  # one fit is missing: the image does not count
    means = average(PROTOCOLS["eanet_corrected"], **case).mpvpe_mm
    assert np.isnan(means["interacting"]) and means["all"] == pytest.approx(14 / 3)


def test_per_hand_means_are_of_interacting_images_only(case):
    means = average(PROTOCOLS["intaghand"], **case)
    assert means.mpjpe_mm["interacting"] == pytest.approx(((20 + 30) / 2 + 40) / 2)
    assert means.mpvpe_mm["all"] == pytest.approx((20 + 40) / 2)
    assert np.isnan(means.mpjpe_mm["single"]) and means.num_hands["all"] == 2


def test_per_sample_means_weigh_each_hand_alike(case):
    means = average(PROTOCOLS["pa_mpjpe"], **case)
    assert means.mpjpe_mm["single"] == pytest.approx((1.5 + 3 + 10) / 3)
    assert means.mpjpe_mm["all"] == pytest.approx((1.5 + 3 + 10 + 25 + 40) / 5)
    assert means.mpvpe_mm["all"] == pytest.approx((1 + 3 + 10 + 20 + 40) / 5)
    assert means.num_hands == {"single": 3, "interacting": 2, "all": 5}
    assert means.num_meshes == {"single": 3, "interacting": 2, "all": 5}
