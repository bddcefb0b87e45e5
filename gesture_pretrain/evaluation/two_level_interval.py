"""Interval and p-value of a mean that varies over clusters and over seeds, crossed.

The estimate is the mean over clusters and seeds. Its variance has two parts: V_C, the
spread over clusters, and V_S, the spread over seeds beyond what the clusters explain. On each side
the interval reaches

    sqrt((t(S - 1) sqrt(V_S))^2 + (q sqrt(V_C))^2)

from the estimate (the square-and-add rule of Zou and Donner, 2008): t(S - 1) is Student's quantile,
as a bootstrap of two or three seeds is far too narrow, and q is the larger one of Student's
t(C' - 1) and of that side's quantile of the cluster bootstrap, studentised (Efron, 1981), which
follows skewed clusters. On simulated data of known truth the 95 % interval covers it in 93 to 97 of
100 cases where one level outweighs the other, and in up to 98 where both count alike
(`tools/check_statistics.py` prints the table). The p-value is that of the test which the interval
inverts.

C' = 1 / sum(w^2) is the effective number of clusters of unequal weights w.

Letters: S seeds, C clusters, B resamples.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 1999
LEVEL = 0.95
FEWEST_FOR_BOOTSTRAP = 6  # below, too many resamples draw one cluster only


@dataclass(frozen=True)
class Spread:
    """Estimate and variance parts of cluster means; arrays over any leading axes.

    Attributes:
        mean: (...,) the estimate.
        by_seed: (..., S).
        by_cluster: (..., C) mean over seeds.
        cluster_variance: (...,) V_C.
        seed_variance: (...,) V_S.
        effective_clusters: see the function of that name.
    """

    mean: np.ndarray
    by_seed: np.ndarray
    by_cluster: np.ndarray
    cluster_variance: np.ndarray
    seed_variance: np.ndarray
    effective_clusters: float


def variance_parts(means: np.ndarray, shares: np.ndarray) -> Spread:
    """Splits the variance of the mean into clusters and seeds.

    Args:
        means: (..., S, C) mean difference of each seed in each cluster.
        shares: (C,) weight of each cluster, of sum 1.
    """
    seeds, clusters = means.shape[-2:]
    by_seed, by_cluster = (means * shares).sum(-1), means.mean(-2)
    mean = by_seed.mean(-1)
    factor = _unbiased(shares)
    cluster_part = factor * ((shares * (by_cluster - mean[..., None])) ** 2).sum(-1)
    if seeds == 1:
        none = np.zeros_like(mean)
        return Spread(mean, by_seed, by_cluster, cluster_part, none, effective_clusters(shares))
    of_seed = by_seed - mean[..., None]
    both = means - by_cluster[..., None, :] - of_seed[..., None]
    pairs = seeds * (seeds - 1)
    interaction = factor * (shares**2 * (both**2).sum(-2)).sum(-1) / pairs
    # the interaction is in both parts; it is counted once
    seed_part = np.maximum((of_seed**2).sum(-1) / pairs - interaction, 0.0)
    return Spread(mean, by_seed, by_cluster, cluster_part, seed_part, effective_clusters(shares))


def interval(
    means: np.ndarray,
    shares: np.ndarray,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end (...,) from `means` (..., S, C) and `shares` (C,); see the module's text."""
    spread = variance_parts(means, shares)
    ratios = _studentised_resamples(spread.by_cluster, shares, resamples, seed)
    alpha = np.full(spread.mean.shape, 1 - level)
    below = _reach(spread, ratios, alpha, upper=True, seeds=means.shape[-2])
    above = _reach(spread, ratios, alpha, upper=False, seeds=means.shape[-2])
    return spread.mean - below, spread.mean + above


def p_value(
    means: np.ndarray, shares: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """(...,) two-sided p-value of "no difference": 1 - level of the interval that touches zero.

    Never below 2 / (resamples + 1), which is as far as the resamples reach.
    """
    spread = variance_parts(means, shares)
    ratios = _studentised_resamples(spread.by_cluster, shares, resamples, seed)
    excluded = np.full(spread.mean.shape, 1.0)  # zero is outside the interval at this alpha
    included = np.full(spread.mean.shape, 2 / (resamples + 1))
    for _ in range(30):
        middle = np.sqrt(excluded * included)
        reach = np.where(
            spread.mean > 0,
            _reach(spread, ratios, middle, upper=True, seeds=means.shape[-2]),
            _reach(spread, ratios, middle, upper=False, seeds=means.shape[-2]),
        )
        outside = np.abs(spread.mean) > reach
        excluded = np.where(outside, middle, excluded)
        included = np.where(outside, included, middle)
    unknown = np.isnan(spread.cluster_variance)
    return np.where(unknown, np.nan, np.where(spread.mean == 0, 1.0, excluded))


def _unbiased(shares: np.ndarray) -> float:
    """Factor of sum(w^2 (x - mean)^2) that makes it the mean's variance; C / (C - 1) for equal w.

    From E (x_c - mean)^2 = (1 - 2 w_c + sum w^2) times the variance of one cluster.
    """
    squares = (shares**2).sum()
    expected = squares - 2 * (shares**3).sum() + squares**2
    return squares / expected if expected > 1e-12 else np.nan


def effective_clusters(shares: np.ndarray) -> float:
    """1 / sum(w^2): how many clusters of equal weight would give a mean of the same variance."""
    return float(1 / (np.asarray(shares) ** 2).sum())


def _reach(
    spread: Spread, ratios: np.ndarray | None, alpha: np.ndarray, *, upper: bool, seeds: int
) -> np.ndarray:
    """(...,) distance from the estimate to the low end (`upper` quantile) or the high end."""
    freedom = max(spread.effective_clusters - 1, 1.0)
    quantile = stats.t.isf(alpha / 2, freedom)
    if ratios is not None:
        count = ratios.shape[-1]
        rank = np.clip(np.floor(alpha / 2 * (count + 1)).astype(int), 1, count)
        place = (count - rank) if upper else (rank - 1)
        drawn = np.take_along_axis(ratios, place[..., None], -1)[..., 0]
        quantile = np.maximum(quantile, drawn if upper else -drawn)
    reach = quantile**2 * spread.cluster_variance
    if seeds > 1:
        reach = reach + stats.t.isf(alpha / 2, seeds - 1) ** 2 * spread.seed_variance
    return np.sqrt(reach)


def _studentised_resamples(
    by_cluster: np.ndarray, shares: np.ndarray, resamples: int, seed: int
) -> np.ndarray | None:
    """(..., B) sorted (resampled mean - mean) / its own standard error; None for few clusters."""
    clusters = len(shares)
    if clusters < FEWEST_FOR_BOOTSTRAP:
        return None
    draws = np.random.default_rng(seed).multinomial(
        clusters, np.full(clusters, 1 / clusters), size=resamples
    )
    mean = (by_cluster * shares).sum(-1)
    centred = by_cluster - mean[..., None]
    weight, squared = draws * shares, draws * shares**2
    total = weight.sum(-1)
    drawn = centred @ weight.T / total
    variance = centred**2 @ squared.T - 2 * drawn * (centred @ squared.T)
    variance += drawn**2 * squared.sum(-1)
    error = np.sqrt(np.maximum(variance * _unbiased(shares), 0.0)) / total
    flat = error <= 1e-12 * np.abs(centred).max(-1, keepdims=True)
    # a resample without spread says nothing about the tails but that they are far
    far = np.copysign(np.finfo(float).max, drawn) * (drawn != 0)
    return np.sort(np.divide(drawn, error, out=far, where=~flat), axis=-1)
