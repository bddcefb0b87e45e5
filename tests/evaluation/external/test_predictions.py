"""Predictions files of other systems: required statements, and refusals."""

import itertools

import numpy as np
import pytest

from gesture_pretrain.evaluation.external.predictions import read_external_predictions
from gesture_pretrain.evaluation.poses.joint_order import (
    JOINT_ORDERS,
    JointOrderError,
    permutation,
)
from gesture_pretrain.evaluation.poses.predictions import PredictionError
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS
from gesture_pretrain.evaluation.poses.score import score_predictions


@pytest.fixture
def write(truth, tmp_path):
    """Writes the truth as another system's .npz; None takes an entry away."""

    def make(order="mano21", unit="mm", **changes):
        factor = 0.001 if unit == "m" else 1.0
        content = {
            "joints": truth.joints_cam_mm[:, permutation(order, "mano21")] * factor,
            "vertices": truth.fit_vertices_cam_mm * factor,
            "row": truth.rows,
            "hand": truth.hand,
            "joint_order": order,
            "unit": unit,
            **changes,
        }
        path = tmp_path / "HaMeR.npz"
        np.savez(path, **{k: np.asarray(v) for k, v in content.items() if v is not None})
        return path

    return make


@pytest.mark.parametrize("unit", ["m", "mm"])
@pytest.mark.parametrize("order", [*JOINT_ORDERS, "openpose", "smplx"])
def test_orders_and_units_end_in_one_form(write, rendered_index, truth, order, unit):
    read = read_external_predictions(write(order, unit), rendered_index)
    wrist = truth.joints_cam_mm[:, :1]
    # float32 of 0.2 m
    np.testing.assert_allclose(read.joints_rel_mm, truth.joints_cam_mm - wrist, atol=2e-5)
    np.testing.assert_allclose(read.vertices_rel_mm, truth.fit_vertices_cam_mm - wrist, atol=2e-5)
    assert read.system == "HaMeR" and read.index_fingerprint == rendered_index.fingerprint


def test_read_predictions_enter_the_table(write, rendered_index, reader):
    read = read_external_predictions(
        write("interhand21", "m"), rendered_index, system="other", box_source="its own detector"
    )
    scores, _ = score_predictions(read, reader, list(PROTOCOLS.values()))
    assert len(scores) == 8  # all but that of interacting hands
    assert all(score.averages.mpjpe_mm["single"] < 1e-4 for score in scores)
    assert all("boxes: its own detector" in score.protocol.card()[-1] for score in scores)


@pytest.mark.parametrize("key", ["row", "annotation_id", "image"])
def test_images_by_row_id_or_path_and_hands_from_the_index(write, rendered_index, truth, key):
    ids = {
        "row": truth.rows,
        "annotation_id": rendered_index.values("image_id", truth.rows),
        "image": [str(rendered_index.image_path(row)) for row in truth.rows.tolist()],
    }[key]
    named = {"row": None, key: ids[::-1], "joints": truth.joints_cam_mm[::-1]}
    path = write(**named, vertices=None, hand=None)
    read = read_external_predictions(path, rendered_index, system="by " + key)
    np.testing.assert_array_equal(read.rows, truth.rows[::-1])
    np.testing.assert_array_equal(read.hand, truth.hand[::-1])
    assert read.vertices_rel_mm is None and read.system == "by " + key


def test_meshes_alone_give_joints_by_regression(write, rendered_index, hand_models, reader, truth):
    path = write(joints=None)
    with pytest.raises(PredictionError, match="hand models"):
        read_external_predictions(path, rendered_index)
    read = read_external_predictions(path, rendered_index, hand_models=hand_models)
    assert read.provenance["joints"] == "regressed from the mesh"
    scores, _ = score_predictions(read, reader, [PROTOCOLS["eanet_corrected"]])
    assert scores[0].averages.mpjpe_mm["single"] < 1e-4


# --- joint order -----------------------------------------------------------------------------


@pytest.mark.parametrize(("actual", "stated"), list(itertools.permutations(JOINT_ORDERS, 2)))
def test_an_order_mistaken_for_another_is_refused(write, rendered_index, actual, stated):
    with pytest.raises(JointOrderError, match="bones"):
        read_external_predictions(write(actual, joint_order=stated), rendered_index)


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_joints_are_refused(write, rendered_index, truth, seed):
    shuffle = np.random.default_rng(seed).permutation(21)
    path = write(joints=truth.joints_cam_mm[:, shuffle])
    with pytest.raises(JointOrderError, match="bones"):
        read_external_predictions(path, rendered_index)
    read_external_predictions(path, rendered_index, check_skeleton=False)


def test_a_bad_prediction_in_the_right_order_is_not_refused(write, rendered_index, truth):
    noise = np.random.default_rng(0).normal(0, 10, truth.joints_cam_mm.shape)
    read_external_predictions(write(joints=truth.joints_cam_mm + noise), rendered_index)


def test_order_and_unit_must_be_stated_once_or_alike(write, rendered_index):
    silent = write(joint_order=None, unit="mm")
    with pytest.raises(JointOrderError, match="joint order"):
        read_external_predictions(silent, rendered_index)
    read_external_predictions(silent, rendered_index, joint_order="openpose")
    with pytest.raises(JointOrderError, match="states 'mano21', but 'smplx'"):
        read_external_predictions(write(), rendered_index, joint_order="smplx")
    read_external_predictions(write(), rendered_index, joint_order="openpose")  # the same
    with pytest.raises(JointOrderError, match="unknown joint order 'coco'"):
        read_external_predictions(write(joint_order="coco"), rendered_index)
    with pytest.raises(PredictionError, match="states unit 'mm', but 'm' is given"):
        read_external_predictions(write(), rendered_index, unit="m")
    with pytest.raises(PredictionError, match="states box_source 'A', but 'B' is given"):
        read_external_predictions(write(box_source="A"), rendered_index, box_source="B")
    assert read_external_predictions(write(box_source="A"), rendered_index).box_source == "A"


# --- everything else -------------------------------------------------------------------------


def test_a_hand_that_is_not_finite_is_named(write, rendered_index, truth):
    """The message was "the bones deviate by nan%", with the advice to switch the check off."""
    joints = truth.joints_cam_mm.copy()
    joints[1, 5, 2] = np.nan
    with pytest.raises(PredictionError, match=r"joints of 1 of \d+ hands .* first hand 1 "):
        read_external_predictions(write(joints=joints), rendered_index)


def test_wrong_unit_is_refused(write, rendered_index, truth):
    path = write(joints=truth.joints_cam_mm / 1000, vertices=truth.fit_vertices_cam_mm / 1000)
    with pytest.raises(PredictionError, match="in unit 'mm', .* 0.05"):
        read_external_predictions(path, rendered_index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row": None}, "exactly one of row, annotation_id, image; it has none"),
        ({"image": ["a"] * 24}, "it has row, image"),
        ({"row": np.arange(24) + 1}, "integers from 0 to 23"),
        ({"row": None, "annotation_id": np.arange(24) + 10**6}, "24 of 24 images are not in"),
        ({"row": None, "image": ["x.jpg"] * 24}, "first x.jpg"),
        ({"hand": ["both"] * 24}, "hand is both"),
        ({"hand": [""] * 24}, "hand is ; "),
        ({"unit": "cm"}, "'cm'"),
        ({"joints": None, "vertices": None}, "neither joints nor vertices"),
        ({"vertices": np.zeros((24, 779, 3))}, r"expected numbers \(N, 778, 3\)"),
        ({"hand": [0]}, "columns differ in length"),
        ({"keypoints": [0]}, "unknown names 'keypoints'"),
    ],
)
def test_contradictions_are_refused(write, rendered_index, changes, message):
    path = write()
    with np.load(path) as stored:
        content = {**stored, **changes}
    np.savez(path, **{k: np.asarray(v) for k, v in content.items() if v is not None})
    with pytest.raises(PredictionError, match=message):
        read_external_predictions(path, rendered_index)


def test_mesh_in_another_frame_is_refused(write, rendered_index, truth):
    path = write(vertices=truth.fit_vertices_cam_mm - truth.joints_cam_mm[:, :1])
    with pytest.raises(PredictionError, match="mm apart .median."):
        read_external_predictions(path, rendered_index)


def test_damaged_files_are_refused(rendered_index, tmp_path):
    (tmp_path / "c.npz").write_bytes(b"no")
    with pytest.raises(PredictionError, match="cannot be read as an npz"):
        read_external_predictions(tmp_path / "c.npz", rendered_index)


def test_names_that_repeat_between_splits_need_the_split(tmp_path, rendered_index, truth):
    """val and test of InterHand2.6M hold files of the same relative names."""
    from gesture_pretrain.evaluation.external.predictions import _lookup

    with pytest.raises(PredictionError, match="repeat between splits"):
        _lookup(["Capture0/a.jpg"] * 2, np.array([3, 9]), "image names")


@pytest.mark.parametrize("value", [["wrist"], 3])
@pytest.mark.parametrize("name", ["unit", "joint_order", "system", "box_source"])
def test_statements_about_a_file_must_be_text(write, rendered_index, name, value):
    """A unit that was a list ended in "unhashable type"."""
    with pytest.raises(PredictionError, match=f"{name} must be"):
        read_external_predictions(write(**{"unit": "mm", name: value}), rendered_index)
