"""Interval and p-value of a mean that varies over clusters and over seeds, crossed.

The estimate is the mean over clusters and seeds. Its variance has two parts: V_S, the spread of the
seeds' means, and V_C, the spread of the clusters' means beyond the interaction of the two, which
V_S holds already. With r = V_S / (V_S + V_C) and k a quantile of Student's t, the interval reaches

    k sqrt(V_S + V_C),    k = sqrt(r) k_add + (1 - sqrt(r)) k_pool

to each side of the estimate. k_add = sqrt(r t(S - 1)^2 + (1 - r) t(C' - 1)^2) adds the reaches of
both levels in squares (Zou and Donner, 2008): right where one level outweighs the other, cautious
where both count alike. k_pool = t(f), 1 / f = r^2 / (S - 1) + (1 - r)^2 / (C' - 1), pools the
degrees of freedom (Satterthwaite, 1946): too narrow where a few seeds outweigh. The weight sqrt(r)
was chosen on simulated data of known truth (`tools/check_statistics.py` prints the coverage). A
bootstrap of two or three seeds would be far too narrow. Over clusters, t(C' - 1) gives way to that
side's quantile of the cluster bootstrap, studentised (Efron, 1981), where that is larger: it
follows skewed clusters; k_pool grows with it.
The p-value is that of the test which the interval inverts.

C' = 1 / sum(w^2) is the effective number of clusters of unequal weights w.

Letters: S seeds, C clusters, B resamples.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

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
    """Splits the variance of the mean into clusters and seeds; see the module's text.

    Args:
        means: (..., S, C) mean difference of each seed in each cluster.
        shares: (C,) weight of each cluster, of sum 1.
    """
    seeds = means.shape[-2]
    by_seed, by_cluster = (means * shares).sum(-1), means.mean(-2)
    mean = by_seed.mean(-1)
    factor = _unbiased(shares)
    cluster_part = factor * ((shares * (by_cluster - mean[..., None])) ** 2).sum(-1)
    seed_part = np.zeros_like(mean)
    if seeds > 1:
        pairs = seeds * (seeds - 1)
        of_seed = by_seed - mean[..., None]
        both = means - by_cluster[..., None, :] - of_seed[..., None]
        interaction = factor * (shares**2 * (both**2).sum(-2)).sum(-1) / pairs
        # both parts hold the interaction; it is counted once, and taken from the part that is
        # known better
        cluster_part = np.maximum(cluster_part - interaction, 0.0)
        seed_part = (of_seed**2).sum(-1) / pairs
    return Spread(mean, by_seed, by_cluster, cluster_part, seed_part, effective_clusters(shares))


def student_quantile(alpha: np.ndarray, count: float) -> np.ndarray:
    """Two-sided quantile of Student's t for a mean over `count` units, at least two."""
    return _student(alpha, max(count - 1, 1.0))


def _student(alpha: np.ndarray, freedom: np.ndarray | float) -> np.ndarray:
    """`scipy.stats.t.isf(alpha / 2, freedom)` without its checks, which take most of its time."""
    return -special.stdtrit(freedom, np.asarray(alpha) / 2)


def combined_reach(
    cluster_se: np.ndarray,
    seed_se: np.ndarray,
    *,
    alpha: np.ndarray,
    clusters: float,
    seeds: int,
    over_clusters: np.ndarray | None = None,
) -> np.ndarray:
    """(...,) how far the interval of level 1 - `alpha` reaches, k sqrt(V_S + V_C) above.

    Args:
        cluster_se, seed_se: (...,) sqrt(V_C) and sqrt(V_S).
        clusters: effective number of clusters.
        over_clusters: (...,) quantile over clusters; None for Student's.
    """
    student = student_quantile(alpha, clusters)
    over_clusters = student if over_clusters is None else over_clusters
    if seeds == 1:
        return over_clusters * cluster_se
    total = np.hypot(cluster_se, seed_se)
    r = np.divide(seed_se, total, out=np.zeros_like(total), where=total > 0) ** 2
    added = np.sqrt(r * student_quantile(alpha, seeds) ** 2 + (1 - r) * over_clusters**2)
    freedom = 1 / (r**2 / (seeds - 1) + (1 - r) ** 2 / max(clusters - 1, 1.0))
    skewness = np.sqrt(r + (1 - r) * (over_clusters / student) ** 2)
    pooled = _student(alpha, freedom) * skewness
    weight = np.sqrt(r)
    return (weight * added + (1 - weight) * pooled) * total


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
    over_clusters = student_quantile(alpha, spread.effective_clusters)
    if ratios is not None:
        drawn = _bootstrap_quantile(ratios, alpha, upper=upper)
        over_clusters = np.maximum(over_clusters, drawn)
    return combined_reach(
        np.sqrt(spread.cluster_variance),
        np.sqrt(spread.seed_variance),
        alpha=alpha,
        clusters=spread.effective_clusters,
        seeds=seeds,
        over_clusters=over_clusters,
    )


def _bootstrap_quantile(ratios: np.ndarray, alpha: np.ndarray, *, upper: bool) -> np.ndarray:
    """(...,) distance of the bootstrap's quantile from zero on one side."""
    count = ratios.shape[-1]
    rank = np.clip(np.floor(alpha / 2 * (count + 1)).astype(int), 1, count)
    place = (count - rank) if upper else (rank - 1)
    drawn = np.take_along_axis(ratios, place[..., None], -1)[..., 0]
    return drawn if upper else -drawn


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
