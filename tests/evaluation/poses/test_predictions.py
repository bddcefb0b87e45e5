"""Predictions files."""

import numpy as np
import pytest

from gesture_pretrain.evaluation.poses.joint_order import JointOrderError
from gesture_pretrain.evaluation.poses.predictions import PosePredictions, PredictionError


@pytest.fixture
def predictions(truth, predictions_of):
    return predictions_of(truth, truth.joints_cam_mm, truth.fit_vertices_cam_mm)


def test_file_gives_back_what_was_saved(predictions, rendered_index, tmp_path):
    back = PosePredictions.load(predictions.save(tmp_path / "new" / "p.npz"))
    for name in ("rows", "hand", "joints_rel_mm", "vertices_rel_mm"):
        np.testing.assert_array_equal(getattr(back, name), getattr(predictions, name))
    assert back.keypoints_image_px is None and back.joint_depth_rel_mm is None
    assert back.provenance == predictions.provenance and back.system == "truth"
    back.require_index(rendered_index)
    assert back.box_source == "annotation box x 1.25"
    assert back.take(slice(3, 5)).rows.tolist() == predictions.rows[3:5].tolist()


def test_predictions_of_another_index_are_refused(truth, predictions_of, rendered_index):
    other = predictions_of(truth, truth.joints_cam_mm, index_fingerprint="0" * 64)
    with pytest.raises(PredictionError, match="fingerprint 000000000000"):
        other.require_index(rendered_index)
    beyond = predictions_of(truth, truth.joints_cam_mm, rows=truth.rows + 20)
    with pytest.raises(PredictionError, match="rows 20 to 43"):
        beyond.require_index(rendered_index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hand": np.full(24, 2)}, "0 .right. or 1 .left."),
        ({"rows": np.zeros(24, int)}, "predicted more than once"),
        ({"rows": np.arange(24.0)}, "expected integers"),
        ({"joints_rel_mm": np.zeros((24, 16, 3))}, r"\(24, 16, 3\); expected \(24, 21, 3\)"),
        ({"joints_rel_mm": np.full((24, 21, 3), np.nan)}, "NaN or infinity in 24"),
        ({"system": ""}, "name of their system"),
    ],
)
def test_contradictions_are_refused(truth, predictions_of, changes, message):
    with pytest.raises(PredictionError, match=message):
        predictions_of(truth, truth.joints_cam_mm, **changes)


def test_other_files_are_refused(predictions, tmp_path):
    path = predictions.save(tmp_path / "p.npz")
    with np.load(path) as stored:
        content = dict(stored)
    np.savez(tmp_path / "order.npz", **{**content, "joint_order": np.array("interhand21")})
    with pytest.raises(JointOrderError, match="states joint order 'interhand21'"):
        PosePredictions.load(tmp_path / "order.npz")
    np.savez(tmp_path / "new.npz", **{**content, "format": np.array(9)})
    with pytest.raises(PredictionError, match="has format 9"):
        PosePredictions.load(tmp_path / "new.npz")
    del content["hand"]
    np.savez(tmp_path / "part.npz", **content)
    with pytest.raises(PredictionError, match="lacks hand"):
        PosePredictions.load(tmp_path / "part.npz")
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(PredictionError, match="cannot be read as an npz"):
        PosePredictions.load(tmp_path / "cut.npz")
    np.savez(tmp_path / "pickle.npz", **{**content, "hand": np.array([{}], object)})
    with pytest.raises(PredictionError, match="cannot be read as an npz"):
        PosePredictions.load(tmp_path / "pickle.npz")
    with pytest.raises(FileNotFoundError):
        PosePredictions.load(tmp_path / "absent.npz")
