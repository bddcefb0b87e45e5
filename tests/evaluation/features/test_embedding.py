"""The t-SNE plot: same seed same points, separated clusters stay apart, errors."""

import numpy as np
import pytest

from gesture_pretrain.evaluation.features.embedding import choose_points, tsne_2d


def _clusters(per_cluster=30):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), per_cluster)
    return 20.0 * np.eye(3, 64)[labels] + rng.normal(size=(len(labels), 64)), labels


def test_same_seed_same_plot():
    features, _ = _clusters()
    np.testing.assert_array_equal(tsne_2d(features, seed=4), tsne_2d(features, seed=4))


def test_clusters_stay_together():
    features, labels = _clusters()
    points = tsne_2d(features)
    assert points.shape == (90, 2) and points.dtype == np.float32
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e9 * np.eye(90)
    assert (labels[distance.argmin(1)] == labels).mean() == 1.0


def test_few_samples_still_work_and_fewer_are_an_error():
    assert tsne_2d(np.random.default_rng(0).normal(size=(6, 5))).shape == (6, 2)
    with pytest.raises(ValueError, match="N >= 4"):
        tsne_2d(np.zeros((3, 5)))


def test_nan_is_an_error():
    features, _ = _clusters()
    features[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        tsne_2d(features)


def test_chosen_points_are_few_sorted_and_repeatable():
    chosen = choose_points(5000, max_points=100, seed=1)
    assert len(np.unique(chosen)) == 100 and (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, choose_points(5000, max_points=100, seed=1))
    np.testing.assert_array_equal(choose_points(7, max_points=100), np.arange(7))
