"""tools/evaluate.py predictions: files of two systems to one table."""

import importlib.util
import json

import numpy as np
import pytest

from gesture_pretrain.evaluation.error_file import load_hand_errors
from gesture_pretrain.evaluation.predictions import PosePredictions
from gesture_pretrain.skeleton import JOINT_NAMES_MANO21


@pytest.fixture(scope="module")
def tool(repo_root):
    spec = importlib.util.spec_from_file_location("evaluate", repo_root / "tools" / "evaluate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(truth, predictions_of, rendered_index, tmp_path):
    """The truth as ours, and a disturbed one as another system's, in metres and its own order."""
    ours = predictions_of(truth, truth.joints_cam_mm, truth.fit_vertices_cam_mm)
    noise = np.random.default_rng(0).normal(0, 6, truth.joints_cam_mm.shape)
    other = tmp_path / "other.npz"
    np.savez(
        other,
        joints=(truth.joints_cam_mm + noise)[:, ::-1] / 1000,
        joint_names=np.array(JOINT_NAMES_MANO21[::-1]),
        unit=np.array("m"),
        annotation_id=rendered_index.values("image_id", truth.rows),
    )
    return ours.save(tmp_path / "ours.npz"), other


def test_two_systems_in_one_table(tool, files, rendered_index, tmp_path, capsys):
    ours, other = files
    out = tmp_path / "out"
    tool.main(
        ["predictions", str(ours), f"HaMeR={other}", "--data", str(rendered_index.path)]
        + ["--out", str(out), "--mano", "open", "--split", "test", "--box-source", "whole image"]
    )
    printed = capsys.readouterr().out
    assert "Protocol eanet_corrected" in printed and "'HaMeR' predicts no mesh" in printed
    assert "boxes: DIFFERS: truth: annotation box x 1.25; HaMeR: whole image" in printed
    content = json.loads((out / "scores.json").read_text())
    values = content["systems"]["HaMeR"]["interhand_wrist"]["values"]
    # noise of 6 mm per axis on joint and wrist: mean distance 6 * sqrt(2) * 1.596 = 13.5 mm
    assert values["MPJPE single"] == pytest.approx(20 / 21 * 13.5, rel=0.15)
    assert content["systems"]["truth"]["interhand_wrist"]["values"]["MPJPE single"] < 1e-3
    assert {path.name for path in out.iterdir()} == {
        "scores.json", "scores.md", "report.html", "truth.errors.npz", "HaMeR.errors.npz"
    }  # fmt: skip
    errors = load_hand_errors(out / "HaMeR.errors.npz")
    assert errors.joint_mm["interhand_wrist"].shape == (24, 21)
    assert "<img" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--protocol", "mpjpe"], "unknown protocol 'mpjpe'"),
        (["--split", "val"], "split 'val' of .* has no image"),
        (["--split", "dev"], "unknown split 'dev'"),
    ],
)
def test_wrong_requests_end_with_one_line(tool, files, rendered_index, tmp_path, options, message):
    command = ["predictions", str(files[0]), "--data", str(rendered_index.path), "--mano", "open"]
    with pytest.raises(SystemExit, match=message):
        tool.main([*command, "--out", str(tmp_path / "out"), *options])


def test_missing_predictions_need_permission(tool, files, rendered_index, tmp_path, capsys):
    PosePredictions.load(files[0]).take(slice(0, 9)).save(tmp_path / "part.npz")
    command = ["predictions", str(tmp_path / "part.npz"), "--data", str(rendered_index.path)]
    command += ["--mano", "open", "--split", "test", "--out", str(tmp_path / "out")]
    command += ["--protocol", "mmpose_interhand"]
    with pytest.raises(SystemExit, match="no prediction for 15 of 24"):
        tool.main(command)
    tool.main([*command, "--allow-missing"])
    assert "15 annotated hands without a prediction" in capsys.readouterr().out


def test_without_hand_models_what_needs_no_fit_is_scored(tool, files, rendered_index, tmp_path):
    out = tmp_path / "out"
    tool.main(
        ["predictions", str(files[0]), "--data", str(rendered_index.path), "--mano", "none"]
        + ["--out", str(out)]
    )
    content = json.loads((out / "scores.json").read_text())
    assert set(content["systems"]["truth"]) == {"interhand_wrist", "mmpose_interhand"}
    assert "need the hand models" in content["not_available"]["truth"]["eanet_corrected"]
