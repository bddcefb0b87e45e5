"""k-NN against a naive search and known answers."""

import numpy as np
import pytest

from gesture_pretrain.evaluation.features.nearest_neighbours import (
    Neighbours,
    average_joints,
    nearest_neighbours,
    vote,
)

RNG = np.random.default_rng(0)


def test_neighbours_equal_naive_search():
    gallery, queries = RNG.normal(size=(60, 7)), RNG.normal(size=(23, 7))
    gallery_groups, query_groups = RNG.integers(0, 10, 60), RNG.integers(0, 10, 23)
    found = nearest_neighbours(
        gallery, queries, k=5, gallery_groups=gallery_groups, query_groups=query_groups
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
    features = RNG.normal(size=(200, 12)).astype(np.float32)
    twice = np.concatenate([features, features + 1e-4])
    groups = np.concatenate([np.arange(len(features))] * 2)
    found = nearest_neighbours(twice, twice, k=3, gallery_groups=groups, query_groups=groups)
    assert (groups[found.positions] != groups[:, None]).all()


def test_cosine_ignores_a_common_offset_and_scale():
    gallery, queries = RNG.normal(size=(50, 6)), RNG.normal(size=(10, 6))
    groups = {"gallery_groups": np.arange(50), "query_groups": np.arange(50, 60)}
    plain = nearest_neighbours(gallery, queries, k=4, **groups)
    moved = nearest_neighbours(3 * gallery + 7, 3 * queries + 7, k=4, **groups)
    np.testing.assert_array_equal(plain.positions, moved.positions)


def test_vote_majority_then_cosine():
    neighbours = Neighbours(
        np.array([[0, 1, 2], [0, 1, 3]]), np.array([[0.9, 0.2, 0.1], [0.9, 0.2, 0.1]])
    )
    # query 0: one vote of 0 against two of 1; query 1: one vote each, the nearest wins
    assert vote(neighbours, np.array([0, 1, 1, 2]), 3).tolist() == [1, 0]


def test_k_out_of_range_is_an_error():
    gallery = RNG.normal(size=(6, 3))
    groups = np.array(["a"] * 3 + ["b"] * 3)
    for k, problem in ((0, "at least 1"), (4, "a query has 3")):
        with pytest.raises(ValueError, match=problem):
            nearest_neighbours(gallery, gallery, k=k, gallery_groups=groups, query_groups=groups)


def test_average_joints_leaves_invalid_ones_out():
    joints = RNG.normal(size=(3, 21, 3))
    valid = np.ones((3, 21), bool)
    valid[1, 4] = False
    valid[:, 7] = False
    got = average_joints(Neighbours(np.array([[0, 1, 2]]), np.ones((1, 3))), joints, valid)
    np.testing.assert_allclose(got[0, 3], joints[:, 3].mean(0))
    np.testing.assert_allclose(got[0, 4], joints[[0, 2], 4].mean(0))
    assert np.isnan(got[0, 7]).all()


def test_a_neighbour_without_a_label_is_an_error():
    with pytest.raises(ValueError, match="label"):
        vote(Neighbours(np.array([[0]]), np.ones((1, 1))), np.array([-1, 2]), 5)
