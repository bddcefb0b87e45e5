"""The weights of hands make the tested difference that of the protocol's means."""

from dataclasses import replace

import numpy as np
import pytest

from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS, ProtocolError
from gesture_pretrain.evaluation.poses.score import score_predictions
from gesture_pretrain.evaluation.statistics.comparison import compare_paired
from gesture_pretrain.evaluation.statistics.paired_scores import (
    compare_scores,
    hand_values,
    mean_interval,
    pair_weights,
)

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
    from gesture_pretrain.evaluation.poses.averaging import average

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


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_the_hands_and_joints_add_up_to_the_whole(scores, name):
    good, bad = ([seed[name] for seed in scores[system]] for system in ("good", "bad"))
    joint_mm = [s.errors.joint_mm for s in (*good, *bad)]
    first = good[0].info["rows"] < np.median(good[0].info["rows"])
    part = compare_scores(good, bad, hands=first)
    weights = pair_weights(good[0].protocol, joint_mm[0][first], good[0].info["hand"][first])
    means = [np.nansum(weights * errors[first]) for errors in joint_mm]
    expected = np.mean(means[:2]) - np.mean(means[2:])
    assert part.difference_mm == pytest.approx(expected, rel=1e-9)
    assert 0 < part.samples < compare_scores(good, bad).samples
    # each joint, by its share of the weight, gives the protocol's difference
    total, shares = 0.0, pair_weights(good[0].protocol, joint_mm[0], good[0].info["hand"]).sum(0)
    for joint in np.flatnonzero(shares):
        one = compare_scores(good, bad, joint=int(joint))
        total += shares[joint] * one.difference_mm
    assert total == pytest.approx(compare_scores(good, bad).difference_mm, rel=1e-9)


def test_interval_of_a_mean_holds_it_and_tells_nothing_of_the_difference(scores):
    good, bad = ([seed["pa_mpjpe"] for seed in scores[system]] for system in ("good", "bad"))
    low, high = mean_interval(good)
    mean = np.mean([s.averages.mpjpe_mm["single"] for s in good])
    assert low < mean < high
    # the first seed alone: the difference to zero that statistics.compare_paired gives
    wide = mean_interval(good[:1])
    errors, weights = hand_values(good[0])
    keys = list(zip(good[0].info["subject"], good[0].info["label"], strict=True))
    clusters = np.array([sorted(set(keys)).index(key) for key in keys])
    d = compare_paired(errors, np.zeros_like(errors), clusters, weights=weights)
    assert wide == pytest.approx((d.low_mm, d.high_mm), rel=1e-9)
    with pytest.raises(ValueError, match="with one protocol"):
        mean_interval([good[0], scores["bad"][0]["interhand_wrist"]])


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
    with pytest.raises(ValueError, match="parts of MPJPE"):
        compare_scores([good[0]["pa_mpjpe"]], [bad[0]["pa_mpjpe"]], meshes=True, joint=3)
    single = PROTOCOLS["interhand_wrist"]
    for protocol in (
        PROTOCOLS["intaghand"],
        replace(single, averaging="hand"),
        replace(single, images="interacting"),
    ):
        with pytest.raises(ProtocolError, match="interacting hands"):
            pair_weights(protocol, np.ones((2, 21)), np.array([0, 1]))
