"""The statistics of the transfer table against simulated data whose truth is known."""

from functools import cache

import numpy as np
import pytest
from scipy import stats
from tool_module import load_tool

from gesture_pretrain.evaluation.statistics.comparison import (
    cluster_ids,
    compare_paired,
    detectable_difference,
    holm,
)
from gesture_pretrain.evaluation.statistics.two_level_interval import (
    interval,
    p_value,
    student_quantile,
    variance_parts,
)

REPETITIONS = 2000
# standard error of a simulated coverage near 95 %: sqrt(0.95 * 0.05 / 2000)
SIMULATION_ERROR = 0.0049


@cache
def simulation():
    return load_tool("check_statistics")


def drawn(seed, **changes):
    settings = {"repetitions": REPETITIONS, "seeds": 3, "clusters": 20, "seed_sd": 0.1}
    rng = np.random.default_rng(seed)
    return simulation().simulated_means(rng, **{**settings, **changes})


# One of the two levels outweighs the other, or both count alike; little and much interaction.
@pytest.mark.parametrize(
    "seeds, clusters, seed_sd, shape, both_sd",
    [
        (1, 10, 0.0, "normal", 0.3),
        (1, 40, 0.0, "skewed", 0.3),
        (2, 10, 1.0, "normal", 0.3),
        (2, 40, 3.0, "normal, unequal sizes", 0.3),
        (2, 40, 0.3, "normal", 0.3),
        (2, 200, 0.3, "skewed", 1.0),
        (3, 10, 0.0, "normal, unequal sizes", 0.3),
        (3, 20, 0.1, "skewed", 0.3),
        (3, 10, 0.3, "normal", 1.0),
        (3, 40, 0.3, "normal", 0.3),
        (5, 40, 0.1, "normal", 1.0),
        (5, 10, 0.6, "normal", 0.3),
        (5, 10, 3.0, "skewed", 0.3),
    ],
)
def test_interval_covers_the_truth_in_93_to_97_of_100(seeds, clusters, seed_sd, shape, both_sd):
    settings = {"seeds": seeds, "clusters": clusters, "seed_sd": seed_sd}
    means, shares = drawn(1, **settings, shape=shape, both_sd=both_sd)
    covered = simulation().coverage(means, shares, resamples=999)
    assert 0.93 - 2 * SIMULATION_ERROR <= covered <= 0.97 + 2 * SIMULATION_ERROR


def test_two_seeds_that_disagree_much_over_the_clusters_do_not_make_it_narrow():
    # 91 of 100 were covered while the interaction was taken from the variance over the seeds
    means, shares = drawn(2, seeds=2, clusters=100, seed_sd=0.3, both_sd=1.0, repetitions=8000)
    assert simulation().coverage(means, shares, resamples=199) >= 0.92


def test_intervals_that_ignore_a_level_would_miss_the_truth():
    # The check of the checks: with either level left out, coverage breaks down.
    means, shares = drawn(3, seeds=3, clusters=10, seed_sd=1.0)
    pooled = means.mean(1, keepdims=True)  # seeds forgotten
    assert simulation().coverage(pooled, shares, resamples=999) < 0.85
    spread = variance_parts(means, shares)
    reach = 1.96 * np.sqrt(spread.seed_variance + spread.cluster_variance)  # few seeds forgotten
    assert (np.abs(spread.mean) <= reach).mean() < 0.93


@pytest.mark.parametrize("seeds, clusters, seed_sd", [(1, 12, 0.0), (2, 12, 0.3), (3, 30, 0.0)])
def test_false_positives_at_no_effect_are_at_most_5_in_100(seeds, clusters, seed_sd):
    means, shares = drawn(4, seeds=seeds, clusters=clusters, seed_sd=seed_sd)
    p = p_value(means, shares, resamples=999)
    assert (p <= 0.05).mean() <= 0.05 + 2 * SIMULATION_ERROR
    assert (p <= 0.5).mean() <= 0.52  # not only at the level that is tested most


def test_p_value_and_interval_are_of_one_test():
    means, shares = drawn(5, repetitions=400, effect=0.5)
    low, high = interval(means, shares, resamples=999)
    p = p_value(means, shares, resamples=999)
    outside = (low > 0) | (high < 0)
    assert 0.1 < outside.mean() < 0.9
    # they may differ where p is within the resolution of the resamples, 0.002, of 0.05; about three
    # tenths of the p-values fall in 0 to 0.1 here, so in fewer than 2 of 100
    assert (outside == (p < 0.05)).mean() > 0.98


def test_family_wise_error_after_holm_is_at_most_5_in_100():
    p = np.stack([p_value(*drawn(10 + k, seeds=2, seed_sd=0.0), resamples=399) for k in range(4)])
    adjusted = np.stack([holm(column) for column in p.T])
    assert (adjusted <= 0.05).any(1).mean() <= 0.05 + 2 * SIMULATION_ERROR


@pytest.mark.parametrize("seeds, clusters, seed_sd", [(1, 30, 0.0), (3, 20, 0.1), (5, 40, 0.3)])
def test_minimum_detectable_difference_is_found_in_about_80_of_100(seeds, clusters, seed_sd):
    total_cluster_sd = np.sqrt(1 + 0.3**2 / seeds)
    effect = detectable_difference(
        total_cluster_sd / clusters**0.5, seed_sd / seeds**0.5, clusters=clusters, seeds=seeds
    )
    found = p_value(
        *drawn(6, seeds=seeds, clusters=clusters, seed_sd=seed_sd, effect=effect), resamples=499
    )
    assert 0.72 <= (found <= 0.05).mean() <= 0.90


def test_one_seed_and_equal_clusters_give_the_t_interval():
    rng = np.random.default_rng(0)
    per_cluster = rng.normal(0.5, 1.0, 5)  # too few for the bootstrap
    errors = np.repeat(per_cluster, 4) + 10 + np.tile([-1.0, 1.0, -2.0, 2.0], 5)
    result = compare_paired(errors, np.full(20, 10.0), np.repeat(np.arange(5), 4))
    low, high = stats.t.interval(0.95, 4, per_cluster.mean(), stats.sem(per_cluster))
    assert result.difference_mm == pytest.approx(per_cluster.mean())
    assert (result.low_mm, result.high_mm) == pytest.approx((low, high))
    expected_p = stats.ttest_1samp(per_cluster, 0).pvalue
    assert result.p_value == pytest.approx(expected_p, rel=1e-6)
    assert (result.seeds, result.clusters, result.samples) == (1, 5, 20)
    assert "One seed" in result.caveats[0] and "Student" in result.caveats[1]


def test_weights_make_it_the_mean_over_joints_and_percent_is_of_the_reference():
    reference = np.array([[10.0, 20.0, 30.0, np.nan]])
    errors = np.array([[9.0, 18.0, 30.0, np.nan]])
    result = compare_paired(
        errors, reference, np.array([0, 1, 2, 3]), weights=np.array([21, 21, 0, 7])
    )
    assert result.difference_mm == pytest.approx(-1.5)
    assert result.percent == pytest.approx(-10.0)
    assert result.percent_low == pytest.approx(-10)  # every sample has this ratio
    assert result.percent_high == pytest.approx(-10)
    assert result.samples == 2


def test_percent_interval_follows_the_interval_in_mm():
    rng = np.random.default_rng(1)
    reference = rng.uniform(40, 60, (3, 400))
    result = compare_paired(
        0.9 * reference + rng.normal(0, 2, (3, 400)), reference, np.arange(400) // 10
    )
    # for a reference whose mean is known well, the two differ by that mean alone
    assert result.percent_low == pytest.approx(-10, abs=1.5)
    assert result.percent_low < result.percent < result.percent_high < 0


def test_duplicated_frames_do_not_narrow_the_interval():
    rng = np.random.default_rng(2)
    errors, reference = rng.normal(50, 5, (2, 2, 60))
    clusters = np.arange(60) // 5
    once = compare_paired(errors, reference, clusters)
    tenfold = compare_paired(
        np.repeat(errors, 10, 1), np.repeat(reference, 10, 1), np.repeat(clusters, 10)
    )
    assert (tenfold.low_mm, tenfold.high_mm) == pytest.approx((once.low_mm, once.high_mm))


def test_result_depends_on_the_seed_of_the_bootstrap_alone():
    rng = np.random.default_rng(3)
    errors, reference = rng.exponential(20, (2, 3, 90))
    arguments = (errors, reference, np.arange(90) // 6)
    assert compare_paired(*arguments) == compare_paired(*arguments)


def test_no_difference_at_all_and_a_single_cluster():
    same = np.full((2, 12), 7.0)
    none = compare_paired(same, same, np.arange(12))
    assert (none.difference_mm, none.low_mm, none.high_mm, none.p_value) == (0, 0, 0, 1)
    single = compare_paired(same + 1, same, np.zeros(12))
    assert np.isnan([single.low_mm, single.p_value, single.detectable_mm]).all()
    assert "One cluster" in single.caveats[-1]


def test_variance_parts_by_hand():
    """Two clusters of equal share, two seeds; where both effects add up there is no interaction."""
    shares = np.array([0.5, 0.5])
    added = variance_parts(np.array([[1.0, 3.0], [5.0, 7.0]]), shares)
    assert added.mean == 4 and added.effective_clusters == 2
    # s^2 / n of the seeds' means 2, 6 and of the clusters' means 3, 5: 8 / 2 and 2 / 2
    assert added.seed_variance == pytest.approx(4) and added.cluster_variance == pytest.approx(1)
    # an interaction of +-0.5 leaves both means as they are; its share 0.25 is taken off once
    crossed = variance_parts(np.array([[1.5, 2.5], [4.5, 7.5]]), shares)
    assert crossed.seed_variance == pytest.approx(4)
    assert crossed.cluster_variance == pytest.approx(1 - 0.25)


def test_holm_by_hand():
    # Holm (1979): sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, made monotone
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    with_unknown = holm([0.01, np.nan])
    assert with_unknown[0] == pytest.approx(0.02) and np.isnan(with_unknown[1])
    assert holm([0.9, 0.8])[0] == 1.0


def test_cluster_ids_number_the_combinations():
    ids = cluster_ids(np.array([1, 1, 2, 2, 1]), np.array([5, 6, 5, 5, 5]))
    assert len(set(ids)) == 3 and ids[0] == ids[4] and ids[2] == ids[3]


def test_inputs_that_cannot_be_compared_are_named():
    errors = np.ones((2, 4))
    with pytest.raises(ValueError, match="same samples"):
        compare_paired(errors, np.ones((2, 5)), np.zeros(4))
    hole = errors.copy()
    hole[0, 2] = np.nan
    with pytest.raises(ValueError, match="1 samples .the first: 2. are counted in some"):
        compare_paired(hole, errors, np.arange(4))
    with pytest.raises(ValueError, match="No sample is counted"):
        compare_paired(errors * np.nan, errors * np.nan, np.arange(4))
    with pytest.raises(ValueError, match="weights"):
        compare_paired(errors, errors, np.arange(4), weights=np.ones(3))


def test_students_quantile_is_scipys():
    alpha = np.array([1.0, 0.5, 0.05, 1e-3, 1e-9])
    for count in (2, 3.5, 100):
        expected = stats.t.isf(alpha / 2, count - 1)
        np.testing.assert_allclose(student_quantile(alpha, count), expected, rtol=1e-12, atol=1e-12)
    assert student_quantile(0.05, 2) == pytest.approx(12.706, abs=1e-3)  # any table of t


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("clusters", [3, 5])
def test_interval_of_as_few_clusters_as_a_part_may_have_holds(seeds, clusters):
    """Parts of a report have intervals from 3 clusters on."""
    rng = np.random.default_rng(7)
    repetitions = 2000
    means = rng.normal(0, 1, (repetitions, 1, clusters))
    if seeds > 1:
        means = means + rng.normal(0, 0.3, (repetitions, seeds, clusters))
        means = means + rng.normal(0, 0.3, (repetitions, seeds, 1))
    low, high = interval(means, np.full(clusters, 1 / clusters), resamples=99)
    # 95 % or cautious; four standard errors of a share of 2,000 are 2 %
    assert 0.93 <= ((low <= 0) & (high >= 0)).mean() <= 0.99
