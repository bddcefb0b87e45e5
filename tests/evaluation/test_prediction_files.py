"""`pose evaluate`: predictions files of several systems in one table."""

import json
import re

import numpy as np
import pytest
from tool_module import load_tool, refused_by

from gesture_pretrain.evaluation.poses.joint_order import permutation
from gesture_pretrain.evaluation.poses.predictions import PosePredictions


@pytest.fixture(scope="module")
def tool():
    return load_tool("evaluate")


@pytest.fixture
def files(truth, predictions_of, rendered_index, tmp_path):
    """The truth as ours, and a disturbed one as another system's, in metres and its own order."""
    ours = predictions_of(truth, truth.joints_cam_mm, truth.fit_vertices_cam_mm)
    noise = np.random.default_rng(0).normal(0, 6, truth.joints_cam_mm.shape)
    other = tmp_path / "other.npz"
    np.savez(
        other,
        joints=(truth.joints_cam_mm + noise)[:, permutation("interhand21", "mano21")] / 1000,
        joint_order="interhand21",
        unit="m",
        annotation_id=rendered_index.values("image_id", truth.rows),
    )
    return ours.save(tmp_path / "ours.npz"), other


def test_two_systems_in_one_table(tool, files, rendered_index, tmp_path, capsys):
    ours, other = files
    out = tmp_path / "out"
    tool.run(
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
    with np.load(out / "HaMeR.errors.npz") as errors:
        assert errors["joint_mm.interhand_wrist"].shape == (24, 21)
    report = (out / "report.html").read_text()
    assert "<img" in report and '<td class="main">' not in report  # no system is before the other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--protocol", "mpjpe"], "unknown protocol 'mpjpe'"),
        (["--split", "val"], "split 'val' of .* has no image"),
    ],
)
def test_wrong_requests_end_with_one_line(tool, files, rendered_index, tmp_path, options, message):
    command = ["predictions", str(files[0]), "--data", str(rendered_index.path), "--mano", "open"]
    said = refused_by(tool, [*command, "--out", tmp_path / "out", *options])
    assert re.search(message, said)


def refusal(tool, arguments, rendered_index, tmp_path, monkeypatch) -> str:
    """The message of a call that may not get as far as a ground truth or an output folder."""
    monkeypatch.setattr("gesture_pretrain.evaluation.prediction_files.HandIndex.open", None)
    command = ["predictions", *map(str, arguments), "--data", str(rendered_index.path)]
    said = refused_by(tool, [*command, "--mano", "open", "--out", tmp_path / "out"])
    assert not (tmp_path / "out").exists()
    return said


def test_one_file_twice_is_refused_at_once(tool, files, rendered_index, tmp_path, monkeypatch):
    ours, _ = files
    said = refusal(tool, [ours, ours], rendered_index, tmp_path, monkeypatch)
    assert str(ours) in said and "twice" in said
    link = tmp_path / "link.npz"
    link.symlink_to(ours)
    said = refusal(tool, [f"A={ours}", f"B={link}"], rendered_index, tmp_path, monkeypatch)
    assert str(ours) in said and str(link) in said


def test_systems_of_one_name_are_refused_at_once(
    tool, files, rendered_index, tmp_path, monkeypatch
):
    ours, other = files
    again = PosePredictions.load(ours).take(slice(0, 9)).save(tmp_path / "again.npz")
    stated = tmp_path / "stated.npz"
    np.savez(stated, system="truth", row=[0], joints=np.zeros((1, 21, 3)))
    for second, given in ((again, again), (stated, stated), (other, f"truth={other}")):
        said = refusal(tool, [ours, given], rendered_index, tmp_path, monkeypatch)
        assert f"{ours} and {second} are both of a system called 'truth'" in said
        assert f"NAME={second}" in said
    # two names, but one file of errors: the second would have replaced the first
    said = refusal(tool, [f"a b={ours}", f"a_b={other}"], rendered_index, tmp_path, monkeypatch)
    assert str(ours) in said and str(other) in said and "special characters" in said


def test_a_broken_archive_is_one_message(tool, files, rendered_index, tmp_path, monkeypatch):
    # a cut-off .npz ended in a traceback of the zip module
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 cut off")
    said = refusal(tool, [files[0], broken], rendered_index, tmp_path, monkeypatch)
    assert f"{broken} cannot be read" in said


def test_missing_predictions_need_permission(tool, files, rendered_index, tmp_path, capsys):
    PosePredictions.load(files[0]).take(slice(0, 9)).save(tmp_path / "part.npz")
    command = ["predictions", str(tmp_path / "part.npz"), "--data", str(rendered_index.path)]
    command += ["--mano", "open", "--split", "test", "--out", str(tmp_path / "out")]
    command += ["--protocol", "mmpose_interhand"]
    assert "no prediction for 15 of 24" in refused_by(tool, command)
    tool.run([*command, "--allow-missing"])
    assert "15 annotated hands without a prediction" in capsys.readouterr().out


def test_without_hand_models_what_needs_no_fit_is_scored(tool, files, rendered_index, tmp_path):
    out = tmp_path / "out"
    tool.run(
        ["predictions", str(files[0]), "--data", str(rendered_index.path), "--mano", "none"]
        + ["--out", str(out)]
    )
    content = json.loads((out / "scores.json").read_text())
    scored = {"interhand_wrist", "mmpose_interhand", "joint_auc"}
    assert set(content["systems"]["truth"]) == scored
    assert "hand models" in content["not_available"]["truth"]["eanet_corrected"]
