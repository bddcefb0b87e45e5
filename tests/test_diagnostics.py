"""k-NN and probes against naive versions, closed forms and known answers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from gesture_pretrain import diagnostics as dg

RNG = np.random.default_rng(0)


def _blobs(classes=5, per_class=40, channels=12, spread=0.6, seed=1):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, channels))
    labels = np.repeat(np.arange(classes), per_class)
    features = centres[labels] + spread * rng.normal(size=(len(labels), channels))
    subjects = np.tile(np.arange(4), len(labels) // 4)
    groups = np.array([f"train/0/{i}" for i in range(len(labels))])
    return features.astype(np.float32), labels, subjects, groups


def test_neighbours_equal_naive_search():
    gallery, queries = RNG.normal(size=(60, 7)), RNG.normal(size=(23, 7))
    gallery_groups, query_groups = RNG.integers(0, 10, 60), RNG.integers(0, 10, 23)
    found = dg.nearest_neighbours(
        gallery, queries, k=5, gallery_groups=gallery_groups, query_groups=query_groups, block=8
    )
    centre = gallery.mean(0)
    for i, query in enumerate(queries - centre):
        candidates = [
            (float(query @ g / np.linalg.norm(query) / np.linalg.norm(g)), j)
            for j, g in enumerate(gallery - centre)
            if gallery_groups[j] != query_groups[i]
        ]
        best = sorted(candidates, reverse=True)[:5]
        assert [j for _, j in best] == found.positions[i].tolist()
        np.testing.assert_allclose([c for c, _ in best], found.cosines[i], atol=1e-5)


def test_a_query_never_meets_its_own_moment():
    """Guards the leak that makes k-NN trivial: the same frame seen by another camera."""
    features, labels, _, _ = _blobs()
    twice = np.concatenate([features, features + 1e-4])
    groups = np.concatenate([np.arange(len(features))] * 2)
    found = dg.nearest_neighbours(twice, twice, k=3, gallery_groups=groups, query_groups=groups)
    assert (groups[found.positions] != groups[:, None]).all()


def test_cosine_ignores_a_common_offset_and_scale():
    gallery, queries = RNG.normal(size=(50, 6)), RNG.normal(size=(10, 6))
    plain = dg.nearest_neighbours(gallery, queries, k=4)
    moved = dg.nearest_neighbours(3 * gallery + 7, 3 * queries + 7, k=4)
    np.testing.assert_array_equal(plain.positions, moved.positions)


def test_vote_majority_then_cosine():
    neighbours = dg.Neighbours(
        np.array([[0, 1, 2], [0, 1, 3]]), np.array([[0.9, 0.2, 0.1], [0.9, 0.2, 0.1]])
    )
    # query 0: one vote of 0 against two of 1; query 1: one vote each, the nearest wins
    assert dg.vote(neighbours, np.array([0, 1, 1, 2]), 3).tolist() == [1, 0]


def test_too_large_k_is_an_error():
    gallery = RNG.normal(size=(6, 3))
    groups = np.array(["a"] * 3 + ["b"] * 3)
    with pytest.raises(ValueError, match="k = 4, but a query has 3 neighbours"):
        dg.nearest_neighbours(gallery, gallery, k=4, gallery_groups=groups, query_groups=groups)


def test_average_joints_leaves_invalid_ones_out():
    joints = RNG.normal(size=(3, 21, 3))
    valid = np.ones((3, 21), bool)
    valid[1, 4] = False
    valid[:, 7] = False
    got = dg.average_joints(dg.Neighbours(np.array([[0, 1, 2]]), np.ones((1, 3))), joints, valid)
    np.testing.assert_allclose(got[0, 3], joints[:, 3].mean(0))
    np.testing.assert_allclose(got[0, 4], joints[[0, 2], 4].mean(0))
    assert np.isnan(got[0, 7]).all()


def test_gesture_probe_agrees_with_scikit_learn():
    features, labels, subjects, groups = _blobs(spread=1.2)
    queries, truth, _, _ = _blobs(spread=1.2, seed=2)
    ours = dg.probe_gesture(
        features,
        labels,
        queries,
        num_classes=5,
        subjects=subjects,
        groups=groups,
        penalties=(1e-2,),
        max_iterations=500,
    )
    mean, deviation = features.mean(0), features.std(0)
    # scikit-learn sums the loss over N samples: C = 1 / (lambda N)
    reference = LogisticRegression(C=1 / (1e-2 * len(labels)), max_iter=2000, tol=1e-8)
    reference.fit((features - mean) / deviation, labels)
    expected = reference.predict((queries - mean) / deviation)
    # both minimise one strictly convex function; a query may differ only on a class boundary
    assert (ours.predictions == expected).mean() >= 0.99
    assert (ours.predictions == truth).mean() > 0.8
    assert ours.held_out_by == "subject"


def test_gesture_probe_is_deterministic():
    features, labels, subjects, groups = _blobs(spread=2.0)
    first, second = (
        dg.probe_gesture(
            features, labels, features, num_classes=5, subjects=subjects, groups=groups
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.predictions, second.predictions)
    assert first.scores == second.scores


def _linear_joints(samples=300, channels=16, noise=0.0, seed=5):
    rng = np.random.default_rng(seed)
    weight = np.random.default_rng(77).normal(size=(channels, 21 * 3)) * 20
    features = rng.normal(size=(samples, channels))
    joints = (features @ weight).reshape(-1, 21, 3) + 5 + noise * rng.normal(size=(samples, 21, 3))
    joints[:, 0] = 0
    subjects = np.arange(samples) % 5
    groups = np.array([f"train/0/{i}" for i in range(samples)])
    return features.astype(np.float32), joints, np.ones((samples, 21), bool), subjects, groups


def test_joint_probe_recovers_a_linear_map():
    features, joints, valid, subjects, groups = _linear_joints()
    queries, truth, query_valid, _, _ = _linear_joints(seed=6)
    fit = dg.probe_joints(
        features, joints, valid, queries, subjects=subjects, groups=groups, penalties=(1e-8, 1.0)
    )
    # what is left is the penalty's shrinkage, 1e-8 of ~150 mm, and float32 features
    assert dg.mpjpe_mm(fit.predictions, truth, query_valid) < 1e-3
    assert fit.penalty == 1e-8


def test_joint_probe_equals_scikit_learn_ridge():
    features, joints, valid, subjects, groups = _linear_joints(noise=30.0)
    queries = _linear_joints(seed=6)[0]
    fit = dg.probe_joints(
        features, joints, valid, queries, subjects=subjects, groups=groups, penalties=(0.3,)
    )
    mean, deviation = features.astype(float).mean(0), features.astype(float).std(0)
    reference = Ridge(alpha=0.3 * len(features)).fit(
        (features - mean) / deviation, joints.reshape(len(joints), -1)
    )
    expected = reference.predict((queries - mean) / deviation).reshape(-1, 21, 3)
    np.testing.assert_allclose(fit.predictions, expected, atol=1e-6)


def test_joint_probe_never_sees_an_invalid_joint():
    features, joints, valid, subjects, groups = _linear_joints()
    valid[::7, 3] = False
    joints[::7, 3] = 1e6  # a filler; reading it once would wreck the fit
    fit = dg.probe_joints(
        features, joints, valid, features, subjects=subjects, groups=groups, penalties=(1e-8,)
    )
    assert dg.mpjpe_mm(fit.predictions, joints, valid) < 1e-3
    assert fit.num_train == int(valid.all(1).sum())


def test_a_dead_channel_does_no_harm():
    features, joints, valid, subjects, groups = _linear_joints()
    dead = np.concatenate([features, np.full((len(features), 1), 3.7, np.float32)], 1)
    plain, more = (
        dg.probe_joints(
            x, joints, valid, x + np.float32(0), subjects=subjects, groups=groups, penalties=(0.1,)
        ).predictions
        for x in (features, dead)
    )
    np.testing.assert_allclose(plain, more, atol=1e-9)


def test_mpjpe_leaves_the_wrist_out():
    truth = np.zeros((2, 21, 3))
    predicted = np.zeros((2, 21, 3))
    predicted[:, 1:, 0] = 10.0  # 20 joints off by 10 mm, the wrist exact: 10, not 200 / 21
    assert dg.mpjpe_mm(predicted, truth, np.ones((2, 21), bool)) == 10.0


def test_mpjpe_leaves_hands_without_wrist_and_invalid_joints_out():
    truth, predicted = np.zeros((2, 21, 3)), np.ones((2, 21, 3))
    valid = np.ones((2, 21), bool)
    valid[0, 0] = False
    valid[1, 5] = False
    errors = dg.joint_errors_mm(predicted, truth, valid)
    assert np.isnan(errors[0]).all() and np.isnan(errors[1, [0, 5]]).all()
    assert np.isfinite(errors[1]).sum() == 19


def test_mpjpe_without_any_joint_is_an_error():
    with pytest.raises(ValueError, match="No joint is valid"):
        dg.mpjpe_mm(np.zeros((1, 21, 3)), np.zeros((1, 21, 3)), np.zeros((1, 21), bool))


def test_missing_prediction_of_a_valid_joint_is_an_error():
    predicted = np.zeros((1, 21, 3))
    predicted[0, 4] = np.nan
    with pytest.raises(ValueError, match="1 valid joints have no finite prediction"):
        dg.mpjpe_mm(predicted, np.zeros((1, 21, 3)), np.ones((1, 21), bool))


def test_no_complete_hand_is_an_error():
    features, joints, valid, subjects, groups = _linear_joints(samples=10)
    valid[:, 2] = False
    with pytest.raises(ValueError, match="0 of 10 train samples have all joints"):
        dg.probe_joints(features, joints, valid, features, subjects=subjects, groups=groups)


def test_hold_out_keeps_subjects_whole():
    subjects = np.array([3, 3, 8, 8, 9, 9, 1, 1, 2, 2, 7])
    held_out, by = dg.hold_out(subjects, np.arange(11).astype(str))
    assert by == "subject" and 0 < held_out.sum() < 11
    assert not set(subjects[held_out]) & set(subjects[~held_out])


def test_hold_out_of_one_subject_keeps_moments_whole():
    groups = np.array(["a", "a", "b", "b", "c", "d", "e", "e"])
    held_out, by = dg.hold_out(np.full(8, 4), groups)
    assert by == "group" and not set(groups[held_out]) & set(groups[~held_out])
    with pytest.raises(ValueError, match="nothing can be held out"):
        dg.hold_out(np.zeros(3), np.array(["a", "a", "a"]))


def test_unlabelled_train_samples_are_an_error():
    features, labels, subjects, groups = _blobs()
    labels[0] = -1
    with pytest.raises(ValueError, match="has no label"):
        dg.probe_gesture(
            features, labels, features, num_classes=5, subjects=subjects, groups=groups
        )
    with pytest.raises(ValueError, match="has no label"):
        dg.vote(dg.Neighbours(np.array([[0]]), np.ones((1, 1))), labels, 5)
