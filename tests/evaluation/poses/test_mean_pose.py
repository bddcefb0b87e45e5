"""The mean training pose as a baseline, and the flag of networks that do not beat it."""

import dataclasses

import numpy as np
import pytest

from gesture_pretrain.evaluation.poses.mean_pose import (
    MAX_HANDS,
    did_not_learn,
    mean_training_pose,
)
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS
from gesture_pretrain.evaluation.poses.score import score_predictions
from gesture_pretrain.report.score_table import ScoreTable


@pytest.fixture
def rows(rendered_index):
    return rendered_index.select(split="test", hands=("right", "left"))


def test_the_mean_is_of_each_hand_and_relative_to_its_wrist(reader, rows):
    pose = mean_training_pose(reader, rows).joints_rel_mm
    truth = reader.read(*reader.hands_of(rows))
    relative = truth.joints_cam_mm - truth.joints_cam_mm[:, :1]
    for side in (0, 1):
        np.testing.assert_allclose(pose[side], np.nanmean(relative[truth.hand == side], axis=0))
    assert len(rows) < MAX_HANDS


def test_an_untrained_hand_mirrors_the_other_and_no_label_gives_no_pose(reader, rows):
    right = rows[reader.index.values("hand", rows) == 0]
    pose = mean_training_pose(reader, right).joints_rel_mm
    np.testing.assert_array_equal(pose[1], pose[0] * [-1, 1, 1])
    assert mean_training_pose(reader, rows[:0]) is None


def test_it_is_scored_as_any_system_and_flags_what_is_not_better(reader, rows):
    protocol = PROTOCOLS["mmpose_interhand"]
    pose = mean_training_pose(reader, rows)
    predictions = pose.predictions(reader, *reader.hands_of(rows))
    (score,), refused = score_predictions(predictions, reader, [protocol, PROTOCOLS["freihand"]])
    assert set(refused) == {"freihand"}
    mean_mm = score.averages.mpjpe_mm["all"]
    assert mean_mm > 10
    useless = dataclasses.replace(score, system="useless")
    table = ScoreTable([useless], mean_pose_mm={protocol.name: mean_mm})
    assert "useless DID NOT LEARN" in table.to_text() and "DID NOT LEARN" in table.page().html()
    table = ScoreTable([useless], mean_pose_mm={protocol.name: mean_mm + 1})
    assert "DID NOT LEARN" not in table.to_text()


@pytest.mark.parametrize(
    ("error", "mean", "flagged"),
    [(9.0, 10.0, False), (10.0, 10.0, True), (float("nan"), 10.0, True), (9, float("nan"), False)],
)
def test_an_error_that_is_not_below_is_flagged(error, mean, flagged):
    assert did_not_learn(error, mean) is flagged
