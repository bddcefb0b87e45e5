"""Ground truth in the camera frame, from annotations and from fits."""

import dataclasses

import numpy as np
import pytest
import torch

from gesture_pretrain.evaluation.external.fit_check import fit_distance_mm
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.hand.model import load_hand_model


def test_joints_are_the_record_seen_from_its_camera(truth, rendered_index):
    record = rendered_index.record(5)
    side = int(truth.hand[5])
    expected = world_to_camera_mm(
        record.joints_world_mm[side], record.R_cam_world, record.camera_center_mm
    )
    np.testing.assert_array_equal(truth.joints_cam_mm[5], expected)
    pixels = project_px(truth.joints_cam_mm[5], record.focal_px, record.princpt_px)
    inside = ((pixels > 0) & (pixels < 64)).all(1)
    np.testing.assert_array_equal(inside, truth.in_view[5])
    assert inside.mean() > 0.5
    assert truth.triangulated[5].all()
    assert not np.array_equal(truth.hand, np.zeros(len(truth)))  # both sides are there


def test_fit_is_the_mesh_of_its_parameters_in_the_camera(truth, rendered_index, hand_models):
    for i in (0, 7, 20):
        record, side = rendered_index.record(i), ("right", "left")[truth.hand[i]]
        model, fit = load_hand_model(side, "open").double(), record.mano[side]
        mesh = model(
            *(torch.from_numpy(v[None]).double() for v in (fit.pose, fit.shape, fit.trans_m))
        )
        vertices, joints = (
            world_to_camera_mm(1000 * p[0].numpy(), record.R_cam_world, record.camera_center_mm)
            for p in mesh
        )
        # float32 model: rounding of 0.2 m, 2e-5 mm, times the length of the kinematic chain
        np.testing.assert_allclose(truth.fit_vertices_cam_mm[i], vertices, atol=2e-4)
        np.testing.assert_allclose(truth.fit_joints_cam_mm[i], joints, atol=2e-4)


def test_metric_joints_differ_from_the_models_at_tips_only_where_they_should(truth, reader):
    joints = {
        tips: reader.metric_joints_mm(truth.fit_vertices_cam_mm, truth.hand, tip_convention=tips)
        for tips in ("manopth", "interhand")
    }
    differ = (joints["manopth"] != joints["interhand"]).any((0, 2))
    assert np.flatnonzero(differ).tolist() == [12]  # middle tip: 444 against 445
    np.testing.assert_array_equal(joints["manopth"][:, 12], truth.fit_vertices_cam_mm[:, 444])
    np.testing.assert_array_equal(joints["interhand"][:, 12], truth.fit_vertices_cam_mm[:, 445])


def test_gestures_and_subjects_are_read(truth, rendered_index):
    assert set(truth.subject) == {rendered_index.record(i).subject for i in range(24)}
    assert (truth.coarse >= 0).any() and truth.split.tolist() == ["test"] * 24
    assert truth.label[3] == rendered_index.record(3).label


def test_wrong_hand_model_is_refused(rendered_index, hand_models):
    with pytest.raises(ValueError, match="is a left hand"):
        GroundTruthReader(rendered_index, hand_models={"right": hand_models["left"]})
    flat = load_hand_model("right", "open", flat_hand_mean=True)
    with pytest.raises(ValueError, match="flat_hand_mean=True"):
        GroundTruthReader(rendered_index, hand_models={"right": flat})
    reader = GroundTruthReader(rendered_index)
    with pytest.raises(ValueError, match="hand_models"):
        reader.metric_joints_mm(np.zeros((1, 778, 3)), np.zeros(1), tip_convention="smplx")


class _OtherModel(GroundTruthReader):
    """Fits posed with a hand 1.6 times as large."""

    def read(self, rows, hand):
        truth = super().read(rows, hand)
        return dataclasses.replace(truth, fit_joints_cam_mm=1.6 * truth.fit_joints_cam_mm)


def test_fits_of_another_hand_model_are_noticed(reader, rendered_index, hand_models):
    rows = np.arange(len(rendered_index))
    # rendered with this model; float32 joints about a world origin
    assert fit_distance_mm(reader, rows) < 1e-3
    with pytest.raises(ValueError, match="another hand model"):
        fit_distance_mm(_OtherModel(rendered_index, hand_models=hand_models), rows)
    assert fit_distance_mm(GroundTruthReader(rendered_index), rows) is None
