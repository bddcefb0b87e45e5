"""Takes: smooth, within the limits of the joints, without fingers inside each other."""

import numpy as np
import pytest

from gesture_pretrain.hand.joints import HandJoints
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.synthetic.gestures import LOWER_DEG, UPPER_DEG, gesture_angles_deg
from gesture_pretrain.synthetic.poses import FREE, TRANSITION, draw_take_deg, penetration_m

TABLE = gesture_angles_deg()


@pytest.fixture(scope="module")
def rest_joints_m():
    model = load_hand_model("right", path="open", tip_convention="smplx")
    flat = np.concatenate([np.zeros(3), -np.asarray(model.hands_mean).ravel()])
    return HandJoints(model).joints_m(flat[None], np.zeros((1, 10)), np.zeros((1, 3)))[0]


def take(name: str, seed: int, rest_joints_m, frames: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return draw_take_deg(rng, name, frames, TABLE, rest_joints_m)


@pytest.mark.parametrize("name", ["fist", "five_count", TRANSITION, FREE])
def test_a_take_is_smooth_and_within_the_limits(name, rest_joints_m):
    angles = take(name, 0, rest_joints_m)
    assert (angles >= LOWER_DEG - 1e-9).all() and (angles <= UPPER_DEG + 1e-9).all()
    # the steepest: 112 degrees within 10 % of the take, at most 1.9 times as fast as evenly
    assert np.abs(np.diff(angles, axis=0)).max() < 112 * 1.9 / (0.1 * 40)


def test_a_gesture_begins_and_ends_near_neutral(rest_joints_m):
    angles = take("fist", 1, rest_joints_m)
    distance = {n: np.abs(angles - TABLE[n]).mean(axis=1) for n in ("fist", "neutral_relaxed")}
    closer_to_fist = distance["fist"] < distance["neutral_relaxed"]
    assert closer_to_fist[15:24].all() and not closer_to_fist[[0, 1, -2, -1]].any()


def test_free_takes_differ_from_each_other_and_keep_fingers_apart(rest_joints_m):
    found = [take(FREE, seed, rest_joints_m, frames=8) for seed in range(12)]
    assert np.std([angles[0] for angles in found], axis=0).min() > 2
    depths = [penetration_m(angles, rest_joints_m).max() for angles in found]
    assert np.median(depths) < 0.004 and max(depths) < 0.008


def test_penetration_of_fingers_that_cross(rest_joints_m):
    flat = TABLE["neutral_rigid"]
    crossing = flat.copy()
    crossing[[3, 7]] = -25.0, 25.0  # index and middle abducted towards each other
    apart, inside = penetration_m(np.stack([flat, crossing]), rest_joints_m)
    assert apart < 0.004 < inside
