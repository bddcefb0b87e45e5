"""Gestures as finger angles: the shipped table, its variation and the pose it becomes."""

import numpy as np
import pytest

from gesture_pretrain.geometry.axis_angle import mirror_pose, rodrigues
from gesture_pretrain.synthetic.gestures import (
    ANGLE_NAMES,
    gesture_angles_deg,
    gesture_folders,
    hand_pose_from_angles,
    vary_angles_deg,
)

# A straight flat right hand: fingers along -x, thumb along the rest direction of the angles' zero
THUMB_REST = np.array(
    [
        -np.cos(np.deg2rad(47)) * np.cos(np.deg2rad(13)),
        -np.sin(np.deg2rad(13)),
        np.sin(np.deg2rad(47)) * np.cos(np.deg2rad(13)),
    ]
)


@pytest.fixture
def rest_joints_m():
    joints = np.zeros((21, 3))
    for k in range(4):
        joints[1 + k] = [0.0, 0.0, 0.03] + 0.03 * k * THUMB_REST
        for f in range(4):
            joints[5 + 4 * f + k] = [-0.09 - 0.03 * k, 0.0, 0.03 - 0.02 * f]
    return joints


def test_table_has_45_gestures_and_90_folders():
    table, folders = gesture_angles_deg(), gesture_folders()
    assert len(table) == 45
    assert all(angles.shape == (len(ANGLE_NAMES),) for angles in table.values())
    assert len({f.folder for f in folders}) == 90
    assert [f.hand for f in folders].count("right") == 45
    assert {f.pose_name for f in folders} == set(table)


def test_relaxedwave_of_the_left_hand_is_the_pose_of_palmdownwave():
    (left,) = gesture_folders(["relaxedwave"])
    assert (left.folder, left.hand, left.pose_name) == ("0133_relaxedwave", "left", "palmdownwave")


def test_gestures_may_be_named_by_folder_or_for_both_hands():
    assert [f.folder for f in gesture_folders(["0016_fist"])] == ["0016_fist"]
    assert [f.folder for f in gesture_folders(["fist"])] == ["0016_fist", "0116_fist"]


def test_an_unknown_gesture_is_named():
    with pytest.raises(ValueError, match="0016_fits.*0016_fist"):
        gesture_folders(["0016_fits"])


def test_folders_agree_with_the_published_table(shared_dir):
    rows = (shared_dir / "interhand" / "gestures.csv").read_text(encoding="utf-8").splitlines()[1:]
    published = {tuple(row.split(",")[:2]) for row in rows}
    assert {(f.folder, f.hand) for f in gesture_folders()} == published


def test_zero_angles_leave_the_fingers_straight(rest_joints_m):
    pose = hand_pose_from_angles(np.array([[0.0] * 16 + [47, 13, 0, 0, 0]]), rest_joints_m)
    # arctan2 and arccos-free alignment of a direction with itself: rounding of unit vectors only
    np.testing.assert_allclose(pose, 0.0, atol=1e-7)


def test_flexion_moves_a_fingertip_to_the_palm_and_abduction_to_the_thumb(rest_joints_m):
    angles = np.zeros((2, 21))
    angles[:, 16:18] = 47, 13
    angles[0, 0] = 30.0  # index MCP
    angles[1, 3] = 10.0  # index abduction
    rotation = rodrigues(hand_pose_from_angles(angles, rest_joints_m).reshape(2, 15, 3)[:, 0])
    finger = rotation @ np.array([-1.0, 0.0, 0.0])
    np.testing.assert_allclose(finger[0], [-np.cos(np.pi / 6), -0.5, 0.0], atol=1e-12)
    sine = np.sin(np.deg2rad(10))
    np.testing.assert_allclose(finger[1], [-np.cos(np.deg2rad(10)), 0.0, sine], atol=1e-12)


def test_thumb_azimuth_and_elevation_are_the_direction_of_its_metacarpal(rest_joints_m):
    angles = np.zeros((1, 21))
    angles[0, 16:19] = 20, 40, 25
    pose = hand_pose_from_angles(angles, rest_joints_m).reshape(15, 3)
    moved = rodrigues(pose[12]) @ THUMB_REST
    az, el = np.deg2rad([20, 40])
    goal = [-np.cos(az) * np.cos(el), -np.sin(el), np.sin(az) * np.cos(el)]
    np.testing.assert_allclose(moved, goal, atol=1e-12)


def test_the_mirrored_pose_turns_mirrored_points():
    rng = np.random.default_rng(0)
    pose, point, mirror = rng.normal(size=3), rng.normal(size=3), np.array([-1.0, 1.0, 1.0])
    direct = mirror * (rodrigues(pose) @ point)
    np.testing.assert_allclose(rodrigues(mirror_pose(pose)) @ (mirror * point), direct, atol=1e-12)


def test_variation_is_reproducible_and_stays_within_the_anatomical_range():
    table = gesture_angles_deg()
    draws = [vary_angles_deg(table["fist_rigid"], np.random.default_rng(k)) for k in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 1.0
    for k in range(200):
        fingers = vary_angles_deg(table["fist_rigid"], np.random.default_rng(k))[:16].reshape(4, 4)
        assert (fingers >= [-25, -8, -5, -25]).all() and (fingers <= [95, 112, 80, 25]).all()
