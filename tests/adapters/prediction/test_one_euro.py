"""The one-euro filter removes jitter at rest and follows motion."""

import numpy as np
import pytest

from adapters.prediction.hand_estimator import HandEstimate
from adapters.prediction.one_euro import HandSmoother, OneEuroFilter

SECONDS = 1 / 30


def run(values: np.ndarray, per_speed: float = 0.02) -> np.ndarray:
    smooth = OneEuroFilter(per_speed)
    return np.stack([smooth(value, SECONDS) for value in values])


def test_a_constant_stays_and_noise_at_rest_shrinks():
    assert (run(np.full((9, 2), 3.0)) == 3.0).all()
    noise = np.random.default_rng(0).normal(size=(300, 3))
    assert run(noise)[100:].std() < 0.4


def test_without_speed_it_is_the_low_pass_filter_of_its_cutoff():
    step = np.concatenate([np.zeros(1), np.ones(200)])[:, None]
    weight = 2 * np.pi * SECONDS / (2 * np.pi * SECONDS + 1)
    expected = 1 - (1 - weight) ** np.arange(201)
    np.testing.assert_allclose(run(step, per_speed=0.0)[:, 0], expected, rtol=1e-9)


def test_fast_motion_lags_less():
    ramp = 500 * SECONDS * np.arange(60.0)[:, None]  # 500 mm/s
    lag = [(ramp - run(ramp, per_speed=per_speed))[-1, 0] for per_speed in (0.0, 0.02)]
    assert lag[1] < 0.2 * lag[0]


def test_each_track_has_its_own_filter_and_begins_again_after_a_gap():
    values = {name: np.ones(3) for name in HandEstimate._fields}
    values |= {"keypoints_px": np.zeros((21, 2)), "joints_rel_mm": np.eye(21)[:, :3]}
    values["camera_from_view"] = np.eye(3)
    still = HandEstimate(**values)
    moved = still._replace(keypoints_px=np.full((21, 2), 50.0))
    smoother = HandSmoother(30.0)
    smoother({1: still, 2: moved})
    found = smoother({1: moved, 2: moved})
    assert (found[2].keypoints_px == moved.keypoints_px).all()
    assert (found[1].keypoints_px[:, 0] < moved.keypoints_px[:, 0]).all()
    smoother({2: moved})
    again = smoother({1: moved})[1]
    np.testing.assert_array_equal(again.keypoints_px, moved.keypoints_px)
    assert again.image_from_mm == pytest.approx(found[2].image_from_mm)
