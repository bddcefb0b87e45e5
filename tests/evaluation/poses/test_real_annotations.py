"""From real annotations to scores: index, ground truth, predictions file, score."""

import dataclasses
import json

import numpy as np
import pytest
from back_projection import back_projected

from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS
from gesture_pretrain.evaluation.poses.score import score_predictions
from gesture_pretrain.skeleton import INTERHAND_FROM_MANO21, MANO21_FROM_INTERHAND


@pytest.fixture(scope="module")
def golden(shared_dir):
    folder = shared_dir / "interhand"
    samples = json.loads((folder / "golden.json").read_text())["samples"]
    metric = json.loads((folder / "golden_metrics.json").read_text())["interhand_metric"]
    return {sample["image"]: sample["mmpose"] for sample in samples}, metric


def _row(index, name):
    return next(i for i in range(len(index)) if index.image_path(i).name == name)


def test_truth_equals_that_of_mmpose(sample_index, golden):
    reader = GroundTruthReader(sample_index)
    for name, expected in golden[0].items():
        rows, hand = reader.hands_of([_row(sample_index, name)])
        assert hand.tolist() == np.flatnonzero(expected["hand_type_onehot_right_left"]).tolist()
        truth = reader.read(rows, hand)
        order = list(INTERHAND_FROM_MANO21)
        visible = np.array(expected["keypoints_visible"], bool).reshape(2, 21)[hand]
        np.testing.assert_array_equal(truth.in_view[:, order], visible)
        joints = np.array(expected["keypoints_cam_mm"]).reshape(2, 21, 3)[hand]
        ours = truth.joints_cam_mm[:, order]
        # mmpose computes in float32 at 1e3 mm
        np.testing.assert_allclose(ours[visible], joints[visible], atol=2e-3, rtol=0)
        # a joint that was not triangulated is NaN, never the filler of the file
        np.testing.assert_array_equal(np.isnan(ours).any(-1), ~truth.triangulated[:, order])


def test_score_of_a_file_equals_mmposes_metric(sample_index, golden, tmp_path):
    expected_truth, metric = golden
    rows, hands, joints = [], [], []
    for prediction in metric["predictions"]:
        truth = expected_truth[prediction["image"]]
        values = np.array(prediction["pred_px_and_depth_mm"]).reshape(2, 21, 3)
        for side in np.flatnonzero(truth["hand_type_onehot_right_left"]):
            ordered = values[side, list(MANO21_FROM_INTERHAND)][None]
            points = back_projected(
                ordered[..., :2],
                ordered[..., 2],
                np.array([truth["abs_depth_right_left_mm"][side]]),
                np.array([truth["focal"]]),
                np.array([truth["princpt"]]),
            )[0]
            rows.append(_row(sample_index, prediction["image"]))
            hands.append(side)
            joints.append(points - points[0])
    predictions = PosePredictions(
        "2.5D", sample_index.fingerprint, np.array(rows), np.array(hands), np.array(joints)
    )
    loaded = PosePredictions.load(predictions.save(tmp_path / "p.npz"))
    protocols = [PROTOCOLS["mmpose_interhand"], PROTOCOLS["interhand_wrist"]]
    (mmpose, internet), _ = score_predictions(loaded, GroundTruthReader(sample_index), protocols)
    for group in ("single", "interacting", "all"):
        # the predictions file is float32, as the reference's arithmetic is
        expected = metric["mmpose_InterHandMetric"][f"MPJPE_{group}"]
        assert mmpose.averages.mpjpe_mm[group] == pytest.approx(expected, abs=1e-4)
    for group in ("single", "interacting", "all"):
        expected = metric["internet_style"][f"MPJPE_{group}_mean_of_joint_means"]
        assert internet.averages.mpjpe_mm[group] == pytest.approx(expected, abs=1e-4)
    assert "boxes: not stated by the predictions" in internet.protocol.card()[-1]


def test_joints_without_a_calibration_are_an_error(sample_index):
    class NoCamera:
        """The index with the calibration of its images taken away."""

        def record(self, row):
            return dataclasses.replace(sample_index.record(row), R_cam_world=None)

    reader = GroundTruthReader(NoCamera())
    with pytest.raises(ValueError, match="has joints or a fit but no calibration of camera"):
        reader.read(np.array([0]), np.array([0 if sample_index.hand_of(0) != "left" else 1]))
