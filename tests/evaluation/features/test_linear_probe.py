"""Probes against their objectives, closed forms and known answers."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from gesture_pretrain.evaluation.features.joint_error import mpjpe_mm
from gesture_pretrain.evaluation.features.linear_probe import hold_out, probe_gesture, probe_joints


def _blobs(classes=5, per_class=40, channels=12, spread=0.6, seed=1):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, channels))
    labels = np.repeat(np.arange(classes), per_class)
    features = centres[labels] + spread * rng.normal(size=(len(labels), channels))
    subjects = np.tile(np.arange(4), len(labels) // 4)
    groups = np.array([f"train/0/{i}" for i in range(len(labels))])
    return features.astype(np.float32), labels, subjects, groups


def test_gesture_probe_minimises_the_mean_cross_entropy_with_penalty():
    features, labels, subjects, groups = _blobs(spread=1.2)
    queries, truth, _, _ = _blobs(spread=1.2, seed=2)
    ours = probe_gesture(
        features,
        labels,
        queries,
        subjects=subjects,
        groups=groups,
        penalties=(1e-2,),
        max_iterations=500,
    )
    mean, deviation = features.mean(0), features.std(0)
    x, z = (torch.from_numpy((a - mean) / deviation).double() for a in (features, queries))
    weight, bias = torch.zeros(12, 5).double(), torch.zeros(5).double()
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    solver = torch.optim.LBFGS(parameters, max_iter=500, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        loss = cross_entropy(x @ weight + bias, torch.from_numpy(labels))
        loss = loss + 0.5 * 1e-2 * weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)
    expected = (z @ weight + bias).argmax(1).numpy()
    # both minimise one strictly convex function; a query may differ only on a class boundary
    assert (ours.predictions == expected).mean() >= 0.99
    assert (ours.predictions == truth).mean() > 0.8
    assert ours.held_out_by == "subject"


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
    fit = probe_joints(
        features, joints, valid, queries, subjects=subjects, groups=groups, penalties=(1e-8, 1.0)
    )
    # what is left is the penalty's shrinkage, 1e-8 of ~150 mm, and float32 features
    assert mpjpe_mm(fit.predictions, truth, query_valid) < 1e-3
    assert fit.penalty == 1e-8


def test_joint_probe_is_ridge_regression_in_closed_form():
    features, joints, valid, subjects, groups = _linear_joints(noise=30.0)
    queries = _linear_joints(seed=6)[0]
    fit = probe_joints(
        features, joints, valid, queries, subjects=subjects, groups=groups, penalties=(0.3,)
    )
    mean, deviation = features.astype(float).mean(0), features.astype(float).std(0)
    x, y = (features - mean) / deviation, joints.reshape(len(joints), -1)
    weight = np.linalg.solve(
        x.T @ x / len(x) + 0.3 * np.eye(x.shape[1]), x.T @ (y - y.mean(0)) / len(x)
    )
    expected = ((queries - mean) / deviation @ weight + y.mean(0)).reshape(-1, 21, 3)
    np.testing.assert_allclose(fit.predictions, expected, atol=1e-6)


def test_joint_probe_never_sees_an_invalid_joint():
    features, joints, valid, subjects, groups = _linear_joints()
    valid[::7, 3] = False
    joints[::7, 3] = 1e6  # a filler; reading it once would wreck the fit
    fit = probe_joints(
        features, joints, valid, features, subjects=subjects, groups=groups, penalties=(1e-8,)
    )
    assert mpjpe_mm(fit.predictions, joints, valid) < 1e-3
    assert fit.num_train == int(valid.all(1).sum())


def test_a_dead_channel_does_no_harm():
    features, joints, valid, subjects, groups = _linear_joints()
    dead = np.concatenate([features, np.full((len(features), 1), 3.7, np.float32)], 1)
    plain, more = (
        probe_joints(
            x, joints, valid, x + np.float32(0), subjects=subjects, groups=groups, penalties=(0.1,)
        ).predictions
        for x in (features, dead)
    )
    np.testing.assert_allclose(plain, more, atol=1e-9)


def test_no_complete_hand_is_an_error():
    features, joints, valid, subjects, groups = _linear_joints(samples=10)
    valid[:, 2] = False
    with pytest.raises(ValueError, match="0 of 10"):
        probe_joints(features, joints, valid, features, subjects=subjects, groups=groups)


def test_hold_out_keeps_subjects_whole():
    subjects = np.array([3, 3, 8, 8, 9, 9, 1, 1, 2, 2, 7])
    held_out, by = hold_out(subjects, np.arange(11).astype(str))
    assert by == "subject" and 0 < held_out.sum() < 11
    assert not set(subjects[held_out]) & set(subjects[~held_out])


def test_hold_out_of_one_subject_keeps_moments_whole():
    groups = np.array(["a", "a", "b", "b", "c", "d", "e", "e"])
    held_out, by = hold_out(np.full(8, 4), groups)
    assert by == "group" and not set(groups[held_out]) & set(groups[~held_out])
    with pytest.raises(ValueError, match="held out"):
        hold_out(np.zeros(3), np.array(["a", "a", "a"]))


def test_unlabelled_train_samples_are_an_error():
    features, labels, subjects, groups = _blobs()
    labels[0] = -1
    with pytest.raises(ValueError, match="label"):
        probe_gesture(features, labels, features, subjects=subjects, groups=groups)


def test_a_single_class_is_predicted_for_everything():
    features, labels, subjects, groups = _blobs()
    fit = probe_gesture(features, labels * 0 + 3, features[:7], subjects=subjects, groups=groups)
    assert fit.predictions.tolist() == [3] * 7
