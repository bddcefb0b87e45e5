"""Every protocol on perfect, rotated, scaled and mirrored predictions, and on missing data."""

import dataclasses
import json
from html import unescape

import numpy as np
import pytest

from gesture_pretrain.evaluation.poses.error_file import save_hand_errors
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.hand_errors import hand_errors
from gesture_pretrain.evaluation.poses.joint_order import JointOrderError, permutation
from gesture_pretrain.evaluation.poses.predictions import PredictionError
from gesture_pretrain.evaluation.poses.protocol import (
    PROTOCOLS,
    Protocol,
    ProtocolError,
    find_protocols,
)
from gesture_pretrain.evaluation.poses.score import MissingPredictions, Score, score_predictions
from gesture_pretrain.geometry.axis_angle import rodrigues
from gesture_pretrain.report.score_table import ScoreTable

# predictions are float32 and 0.2 m long: 1e-5 mm per coordinate, times few operations
ZERO_MM = 1e-4
SINGLE = [p for p in PROTOCOLS.values() if p.images != "interacting"]


def _score(predictions, reader, protocols=SINGLE, **options):
    scores, _ = score_predictions(predictions, reader, protocols, **options)
    return {score.protocol.name: score for score in scores}


def _both_sources(truth, predictions_of, change=lambda points: points, **changes):
    """Annotated joints and the fit's mesh, changed alike, as one system's prediction."""
    joints, vertices = change(truth.joints_cam_mm), change(truth.fit_vertices_cam_mm)
    return predictions_of(truth, joints, vertices, **changes)


@pytest.fixture(scope="module")
def complete(truth):
    """The rendered hands whose 21 joints are all known and in view."""
    assert truth.triangulated.all() and truth.has_fit.all()
    return truth


def test_truth_is_perfect_under_every_protocol(complete, predictions_of, reader):
    scores = _score(_both_sources(complete, predictions_of), reader)
    assert set(scores) == {p.name for p in SINGLE}
    for name, score in scores.items():
        assert score.averages.mpjpe_mm["single"] < ZERO_MM, name
        if score.protocol.vertices:
            assert score.averages.mpvpe_mm["all"] < ZERO_MM, name
    extra = scores["freihand"].extra
    assert extra["F@5"] == extra["F@5 aligned"] == extra["F@15"] == 1.0
    # rounding leaves tiny errors, so the threshold of exactly 0 mm is missed
    assert extra["AUC joints"] >= 1 - 0.5 / 99 - 1e-9 and extra["PA-MPVPE"] < ZERO_MM


def test_auc_of_annotated_joints_needs_no_fit(complete, predictions_of, reader):
    """Half of the joints 10 mm off, half of them 60 mm, and one that nobody annotated."""
    off_mm = np.where(np.arange(21) % 2, 10.0, 60.0)
    moved = complete.joints_cam_mm + off_mm[:, None] * [1.0, 0.0, 0.0]
    moved[:, 0] = complete.joints_cam_mm[:, 0]
    score = _score(predictions_of(complete, moved, None), reader, [PROTOCOLS["joint_auc"]])
    near = (50 - 10) / 50
    expected = (1 + 10 * near) / 21  # the wrist, and the odd joints
    assert score["joint_auc"].extra["AUC joints"] == pytest.approx(expected, abs=0.01)
    assert "AUC joints" in str(score["joint_auc"])


def test_turned_truth_is_perfect_after_similarity_alignment_only(complete, predictions_of, reader):
    turn = rodrigues([0.3, -0.2, 0.5])

    def turned(points):
        return 1.2 * (points - points.mean(1, keepdims=True)) @ turn.T

    scores = _score(_both_sources(complete, predictions_of, turned), reader)
    for name, score in scores.items():
        if score.protocol.alignment == "similarity":
            assert score.averages.mpjpe_mm["all"] < ZERO_MM
            assert score.averages.mpvpe_mm["all"] < ZERO_MM
        else:
            assert score.averages.mpjpe_mm["single"] > 5, name
    assert scores["freihand"].extra["PA-MPJPE"] < ZERO_MM
    assert scores["freihand"].extra["F@5 aligned"] == 1.0 > scores["freihand"].extra["F@5"]


def test_scaled_truth_is_perfect_where_the_bone_is_aligned(complete, predictions_of, reader):
    scores = _score(_both_sources(complete, predictions_of, lambda points: 0.8 * points), reader)
    assert scores["eanet_corrected"].averages.mpjpe_mm["all"] < ZERO_MM
    assert scores["eanet_corrected"].averages.mpvpe_mm["all"] < ZERO_MM
    assert scores["interhand_wrist"].averages.mpjpe_mm["all"] > 5


def test_mirrored_truth_is_wrong_under_every_protocol(complete, predictions_of, reader):
    mirrored = _both_sources(complete, predictions_of, lambda points: points * [-1, 1, 1])
    for name, score in _score(mirrored, reader).items():
        assert score.averages.mpjpe_mm["single"] > 3, name
    assert _score(mirrored, reader)["freihand"].extra["PA-MPJPE"] > 3


def test_single_hands_leave_out_a_two_hand_protocol_and_say_why(complete, predictions_of, reader):
    scores, refused = score_predictions(
        _both_sources(complete, predictions_of), reader, [PROTOCOLS["intaghand"]]
    )
    assert scores == [] and "no image shows them" in refused["intaghand"]


# --- order of joints and flags ---------------------------------------------------------------


def test_orders_are_permutations_of_one_another():
    for order in ("interhand21", "mano16_tips", "smplx"):
        there, back = permutation("mano21", order), permutation(order, "mano21")
        np.testing.assert_array_equal(there[back], np.arange(21))
    assert permutation("mano21", "interhand21")[4] == 0  # thumb tip
    with pytest.raises(JointOrderError, match="unknown joint order 'mpii'"):
        permutation("mano21", "mpii")


def test_published_mask_moves_flags_to_other_joints(complete, predictions_of, reader):
    """A thumb tip out of view costs the published evaluator the wrist, the corrected the tip."""
    predictions = _both_sources(complete, predictions_of)
    flags = np.ones((24, 21), bool)
    flags[:, 4] = False
    hidden = dataclasses.replace(complete, in_view=flags)
    for name, gone in (("eanet_upstream", 0), ("eanet_corrected", 4)):
        score = _score_of(hidden, predictions, reader, PROTOCOLS[name])
        assert np.flatnonzero(np.isnan(score).all(0)).tolist() == [gone]
    flags[:, 0] = False  # the wrist: nothing of the hand counts
    hidden = dataclasses.replace(complete, in_view=flags)
    for name in ("eanet_upstream", "eanet_corrected", "interhand_wrist"):
        assert np.isnan(_score_of(hidden, predictions, reader, PROTOCOLS[name])).all()
    # similarity alignment goes by the triangulated joints and does not ask for the wrist
    assert not np.isnan(_score_of(hidden, predictions, reader, PROTOCOLS["pa_mpjpe"])).any()


def _score_of(truth, predictions, reader, protocol):
    return hand_errors(protocol, predictions, truth, reader).joint_mm


# --- gaps ------------------------------------------------------------------------------------


class _WithoutSomeFits(GroundTruthReader):
    """Truth without the fits of the first three hands and without one wrist."""

    def read(self, rows, hand):
        truth = super().read(rows, hand)
        gone = rows < 3
        vertices = np.where(gone[:, None, None], np.nan, truth.fit_vertices_cam_mm)
        joints = np.array(truth.joints_cam_mm)
        flags = np.array(truth.triangulated)
        joints[rows == 5, 0], flags[rows == 5, 0] = np.nan, False
        return dataclasses.replace(
            truth,
            has_fit=truth.has_fit & ~gone,
            fit_vertices_cam_mm=vertices,
            joints_cam_mm=joints,
            triangulated=flags,
        )


def test_missing_fits_are_excluded_and_counted_or_counted_as_zero(
    complete, predictions_of, rendered_index, hand_models, reader
):
    gaps = _WithoutSomeFits(rendered_index, hand_models=hand_models)
    noise = np.random.default_rng(0).normal(0, 5, (24, 1, 3))

    def disturbed(points):
        return points + noise * (np.arange(points.shape[1]) % 2)[:, None]

    predictions = _both_sources(complete, predictions_of, disturbed)
    every, some = _score(predictions, reader), _score(predictions, gaps)
    corrected, upstream = some["eanet_corrected"], some["eanet_upstream"]
    assert corrected.excluded["hands without a fit, excluded"] == 3
    assert upstream.excluded["hands without a fit, counted as 0 mm"] == 3
    assert corrected.excluded["hands without a counted joint"] == 0  # those 3 are named above
    assert np.isnan(corrected.errors.joint_mm[:3]).all()
    in_view = complete.in_view[:3].sum()
    assert in_view > 0 and np.nansum(upstream.errors.joint_mm[:3]) == 0
    assert (upstream.errors.joint_mm[:3] == 0).sum() == in_view
    np.testing.assert_array_equal(
        corrected.errors.joint_mm[3:], every["eanet_corrected"].errors.joint_mm[3:]
    )
    for score in (corrected, upstream):  # the mesh is left out either way
        assert np.isnan(score.errors.vertex_mm[:3]).all()
        assert not np.isnan(score.errors.vertex_mm[3:]).any()
    # a hand without a triangulated wrist has no wrist-aligned error, but a similarity-aligned one
    wrist = some["interhand_wrist"]
    assert np.isnan(wrist.errors.joint_mm[5]).all()
    assert wrist.excluded["joints in the mask whose 3D position is not known"] == int(
        complete.in_view[5].sum()
    ) * int(complete.in_view[5, 0])
    assert np.flatnonzero(np.isnan(some["pa_mpjpe"].errors.joint_mm[5])).tolist() == [0]


def test_hands_with_too_few_joints_are_left_out_and_counted(complete, predictions_of, reader):
    """Of the first three hands 2, 3 and no joints are triangulated and in view."""
    flags = np.ones((24, 21), bool)
    flags[0, 2:], flags[1, 3:], flags[2] = False, False, False
    sparse = dataclasses.replace(complete, in_view=flags, triangulated=flags)
    predictions = _both_sources(complete, predictions_of)
    of = {
        name: hand_errors(PROTOCOLS[name], predictions, sparse, reader)
        for name in ("pa_mpjpe", "interhand_wrist")
    }
    counted = {name: (~np.isnan(errors.joint_mm)).sum(1)[:4] for name, errors in of.items()}
    assert counted["pa_mpjpe"].tolist() == [0, 3, 0, 21]
    assert counted["interhand_wrist"].tolist() == [2, 3, 0, 21]
    assert of["pa_mpjpe"].excluded["hands with fewer than 3 joints to align by"] == 1
    for errors in of.values():
        assert errors.excluded["hands without a counted joint"] == 1


def test_missing_predictions_are_refused_or_counted(complete, predictions_of, reader):
    part = _both_sources(complete, predictions_of).take(slice(0, 20))
    rows = np.arange(24)
    with pytest.raises(MissingPredictions, match="no prediction for 4 of 24 annotated hands"):
        _score(part, reader, rows=rows)
    score = _score(part, reader, rows=rows, allow_missing=True)["interhand_wrist"]
    assert score.excluded["annotated hands without a prediction"] == 4
    assert score.averages.num_hands["all"] <= 20


def test_prediction_of_the_other_hand_does_not_count(complete, predictions_of, reader):
    """Also the absent hand of single-hand images is predicted, badly."""
    both = predictions_of(
        complete,
        np.concatenate([complete.joints_cam_mm, np.zeros((24, 21, 3))]),
        rows=np.tile(complete.rows, 2),
        hand=np.concatenate([complete.hand, 1 - complete.hand]),
    )
    score = _score(both, reader, [PROTOCOLS["mmpose_interhand"]])["mmpose_interhand"]
    assert score.averages.mpjpe_mm["all"] < ZERO_MM
    reason = "predictions of hands that are not annotated or not asked for"
    assert score.excluded[reason] == 24


def test_what_cannot_be_scored_says_why(complete, predictions_of, reader, rendered_index):
    joints_only = predictions_of(complete, complete.joints_cam_mm)
    scores, refused = score_predictions(joints_only, reader, SINGLE)
    joints_are_enough = {"interhand_wrist", "mmpose_interhand", "interwild", "pa_mpjpe"}
    joints_are_enough |= {"joint_auc"}
    assert {s.protocol.name for s in scores} == joints_are_enough
    assert "predicts no mesh" in refused["eanet_corrected"]
    without_models = GroundTruthReader(rendered_index)
    _, refused = score_predictions(joints_only, without_models, SINGLE)
    assert "hand models" in refused["pa_mpjpe"]
    other = dataclasses.replace(joints_only, index_fingerprint="0" * 64)
    with pytest.raises(PredictionError, match="fingerprint"):
        score_predictions(other, reader, SINGLE)
    collapsed = _both_sources(complete, predictions_of, lambda points: 0 * points)
    with pytest.raises(ValueError, match="coincide"):
        score_predictions(collapsed, reader, [PROTOCOLS["eanet_corrected"]])


# --- no number without its protocol ----------------------------------------------------------


@pytest.fixture
def scores(complete, predictions_of, reader):
    shaken = np.random.default_rng(1).normal(0, 4, (24, 799, 3))
    predictions = predictions_of(
        complete,
        complete.joints_cam_mm + shaken[:, :21],
        complete.fit_vertices_cam_mm + shaken[:, 21:],
        system="shaken",
    )
    return list(_score(predictions, reader).values())


def test_a_number_without_a_protocol_is_impossible(scores):
    score = scores[0]
    arguments = (score.averages, score.errors, score.info)
    with pytest.raises(ProtocolError, match="no protocol"):
        Score("system", None, *arguments)
    with pytest.raises(ProtocolError, match="no split and boxes"):
        Score("system", PROTOCOLS["freihand"], *arguments)
    with pytest.raises(ProtocolError, match="got float"):
        ScoreTable([4.84])
    with pytest.raises(ProtocolError, match="no split"):
        PROTOCOLS["eanet_corrected"].card()
    assert "Protocol interhand_wrist" in str(score) and "boxes: annotation box" in str(score)


def test_every_form_of_the_table_shows_every_card(scores, tmp_path):
    table = ScoreTable(scores, {"shaken": {"x": "because"}}, {"command": "typed"})
    paths = table.save(tmp_path)
    forms = [table.to_text(), *(path.read_text() for path in paths.values())]
    for form in forms:
        for score in scores:
            for line in score.protocol.card()[:1]:
                assert line.split("[")[0] in unescape(form)
        assert form.count("annotation box x 1.25") >= len(scores)
        assert "because" in form
    content = json.loads(paths["scores.json"].read_text())["systems"]["shaken"]
    assert content["eanet_corrected"]["protocol"]["tips"] == "manopth"
    assert len(content["eanet_corrected"]["by_joint_mm"]) == 21
    assert content["eanet_corrected"]["by_subject_mm"]


def test_card_says_what_decides_the_number(scores):
    cards = {s.protocol.name: "\n".join(s.protocol.card()) for s in scores}
    assert "root: middle1, counted as 0 mm" in cards["eanet_upstream"]
    assert "a published defect" in cards["eanet_upstream"]
    assert "hands without a fit: counted as 0 mm" in cards["eanet_upstream"]
    assert "middle 444" in cards["eanet_corrected"] and "defect" not in cards["eanet_corrected"]
    assert "hands without a fit: excluded" in cards["eanet_corrected"]
    assert (
        "annotated joints" in cards["interhand_wrist"]
        and "root: wrist" in cards["mmpose_interhand"]
    )
    assert all("split: test of" in card for card in cards.values())


def test_systems_with_other_boxes_or_hands_are_marked(scores, complete, predictions_of, reader):
    protocol = PROTOCOLS["mmpose_interhand"]
    other = predictions_of(
        complete, complete.joints_cam_mm, system="other", provenance={"box_source": "RootNet"}
    ).take(slice(0, 12))
    mixed = [next(s for s in scores if s.protocol.name == protocol.name)]
    mixed += _score(other, reader, [protocol]).values()
    text = ScoreTable(mixed).to_text()
    assert "boxes: DIFFERS: shaken: annotation box x 1.25; other: RootNet" in text
    assert "scored on different hands" in text
    with pytest.raises(ValueError, match="twice"):
        ScoreTable([mixed[0], mixed[0]])
    changed = dataclasses.replace(mixed[0].protocol, root_counted=False)
    with pytest.raises(ProtocolError, match="same name"):
        ScoreTable([mixed[1], dataclasses.replace(mixed[0], protocol=changed)]).to_text()


def test_errors_per_hand_are_stored(scores, tmp_path):
    with np.load(save_hand_errors(tmp_path / "e.npz", scores)) as stored:
        protocols = json.loads(str(stored["protocols_json"]))
        for score in scores:
            name = score.protocol.name
            np.testing.assert_array_equal(stored[f"joint_mm.{name}"], score.errors.joint_mm)
            np.testing.assert_array_equal(stored[f"vertex_mm.{name}"], score.errors.vertex_mm)
            assert Protocol(**protocols[name]) == score.protocol
        assert stored["system"] == "shaken"
        assert stored["info.label"].tolist() == scores[0].info["label"].tolist()


def test_root_can_be_left_out_of_the_mean(complete, predictions_of, reader):
    base = PROTOCOLS["mmpose_interhand"]
    without = dataclasses.replace(base, name="without_wrist", root_counted=False)
    shaken = complete.joints_cam_mm + np.random.default_rng(1).normal(0, 4, (24, 21, 3))
    scores = _score(predictions_of(complete, shaken), reader, [base, without])
    visible = int((complete.in_view & complete.in_view[:, :1]).sum())
    wrists = int(complete.in_view[:, 0].sum())
    assert scores["without_wrist"].averages.mpjpe_mm["all"] == pytest.approx(
        scores["mmpose_interhand"].averages.mpjpe_mm["all"] * visible / (visible - wrists)
    )


def test_contradictory_protocols_are_refused():
    with pytest.raises(ProtocolError, match="'wrist', 'middle1', 'none'"):
        Protocol("x", "", "", root="thumb")
    with pytest.raises(ProtocolError, match="a fit is used"):
        Protocol("x", "", "", vertices=True)
    with pytest.raises(ProtocolError, match="a fit is not used"):
        Protocol("x", "", "", missing_fit="excluded")
    with pytest.raises(ProtocolError, match="unknown protocol 'mpjpe'"):
        find_protocols(["mpjpe"])
    assert [p.name for p in find_protocols(["all"])] == list(PROTOCOLS)
