"""The weights of hands make the tested difference that of the protocol's means."""

import numpy as np
import pytest

from gesture_pretrain.evaluation.paired_scores import compare_scores, hand_values, pair_weights
from gesture_pretrain.evaluation.protocol import PROTOCOLS, ProtocolError
from gesture_pretrain.evaluation.score import score_predictions

NAMES = ("interhand_wrist", "mmpose_interhand", "eanet_corrected", "eanet_upstream", "pa_mpjpe")


@pytest.fixture
def scores(reader, truth, predictions_of):
    """Two systems, two seeds each, with joints of some hands out of view."""
    rng = np.random.default_rng(0)

    def of(size_mm, name):
        joints = truth.joints_cam_mm + rng.normal(0, size_mm, truth.joints_cam_mm.shape)
        vertices = truth.fit_vertices_cam_mm + rng.normal(0, size_mm, (len(truth), 778, 3))
        made = predictions_of(truth, joints, vertices, system=name)
        found, refused = score_predictions(made, reader, [PROTOCOLS[n] for n in NAMES])
        assert not refused
        return {score.protocol.name: score for score in found}

    return {name: [of(mm, name), of(mm, name)] for name, mm in (("good", 5.0), ("bad", 9.0))}


@pytest.mark.parametrize("name", NAMES)
def test_weighted_mean_over_hands_is_the_protocols_mean(scores, name):
    score = scores["good"][0][name]
    # one joint of one hand less than the others', so that the orders of averaging differ
    score.errors.joint_mm[0, 5] = np.nan
    from gesture_pretrain.evaluation.averaging import average

    again = average(
        score.protocol, score.errors.joint_mm, score.errors.vertex_mm,
        rows=score.info["rows"], hand=score.info["hand"], interacting=score.info["interacting"],
    )  # fmt: skip
    errors, weights = hand_values(score)
    assert np.nansum(errors * weights) == pytest.approx(again.mpjpe_mm["single"], rel=1e-12)
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_difference_is_that_of_the_means_over_seeds(scores, name):
    good, bad = ([seed[name] for seed in scores[system]] for system in ("good", "bad"))
    result = compare_scores(good, bad)
    means = [np.mean([s.averages.mpjpe_mm["single"] for s in side]) for side in (good, bad)]
    assert result.difference_mm == pytest.approx(means[0] - means[1], rel=1e-9)
    assert result.reference_mm == pytest.approx(means[1], rel=1e-9)
    assert result.high_mm < 0 and result.p_value < 0.05 and result.seeds == 2
    groups = set(zip(good[0].info["subject"], good[0].info["label"], strict=True))
    assert result.clusters == len(groups)


def test_meshes_and_whole_subjects_as_clusters(scores):
    good, bad = ([seed["pa_mpjpe"] for seed in scores[system]] for system in ("good", "bad"))
    meshes = compare_scores(good, bad, meshes=True)
    means = [np.mean([s.averages.mpvpe_mm["single"] for s in side]) for side in (good, bad)]
    assert meshes.difference_mm == pytest.approx(means[0] - means[1], rel=1e-9)
    assert compare_scores(good, bad, cluster_by=("subject",)).clusters == 2


def test_joint_without_any_hand_has_no_weight():
    errors = np.full((4, 21), 10.0)
    errors[:, 3] = np.nan
    weights = pair_weights(PROTOCOLS["interhand_wrist"], errors, np.array([0, 0, 1, 1]))
    assert (weights[:, 3] == 0).all() and weights.sum() == pytest.approx(1)
    assert pair_weights(PROTOCOLS["interhand_wrist"], errors * np.nan, np.zeros(4)).sum() == 0


def test_what_cannot_be_paired_is_named(scores):
    good, bad = scores["good"], scores["bad"]
    with pytest.raises(ValueError, match="1 seeds against 2"):
        compare_scores([good[0]["pa_mpjpe"]], [s["pa_mpjpe"] for s in bad])
    with pytest.raises(ValueError, match="with one protocol"):
        compare_scores([good[0]["pa_mpjpe"]], [bad[0]["interhand_wrist"]])
    with pytest.raises(ProtocolError, match="interacting hands"):
        pair_weights(PROTOCOLS["intaghand"], np.ones((2, 21)), np.array([0, 1]))
