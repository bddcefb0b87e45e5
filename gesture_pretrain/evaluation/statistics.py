"""Does one system have smaller errors than another: paired, by cluster of frames, over seeds.

Both systems are scored on the same samples; what counts is the difference per sample. Frames of
one sequence are not independent, so the unit is the cluster (subject, sequence). Training again
with another seed gives another network, so seeds are a second level, crossed with the first: every
seed is scored on every cluster.

The estimate is the mean difference over samples and seeds. Its variance has two parts: V_C, the
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

Letters: S seeds, C clusters, N samples, B resamples. Millimetres.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 1999
LEVEL = 0.95
_FEWEST_FOR_BOOTSTRAP = 6  # below, too many resamples draw one cluster only


@dataclass(frozen=True)
class PairedDifference:
    """The errors of a system minus those of its reference, on the same samples.

    Attributes:
        difference_mm: mean difference; negative where the system is better.
        low_mm, high_mm: ends of the interval of `level`; NaN with a single cluster.
        p_value: two-sided, of "no difference"; NaN with a single cluster.
        mean_mm, reference_mm: mean errors of the two.
        percent, percent_low, percent_high: the difference relative to the reference's mean.
        per_seed_mm: the mean difference of each seed.
        cluster_se_mm, seed_se_mm: sqrt(V_C) and sqrt(V_S) of the module's text.
        detectable_mm: the true difference that such data would find in 80 of 100 repetitions.
        seeds, clusters, samples: what was counted.
        level: of the interval.
        caveats: sentences that belong beside the interval.
    """

    difference_mm: float
    low_mm: float
    high_mm: float
    p_value: float
    mean_mm: float
    reference_mm: float
    percent: float
    percent_low: float
    percent_high: float
    per_seed_mm: tuple[float, ...]
    cluster_se_mm: float
    seed_se_mm: float
    detectable_mm: float
    seeds: int
    clusters: int
    samples: int
    level: float = LEVEL
    caveats: tuple[str, ...] = ()


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


def compare_paired(
    errors_mm: np.ndarray,
    reference_mm: np.ndarray,
    clusters: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Compares two systems by their errors on the same samples.

    Args:
        errors_mm: (S, N) error of each sample, one row per seed; NaN where not counted.
        reference_mm: (S, N) of the reference, rows of the same seeds; NaN at the same places.
        clusters: (N,) any values; equal ones are one cluster. See `cluster_ids`.
        weights: (N,) weight of each sample, such as its number of counted joints; None for equal.
        level: of the interval.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: shapes that do not fit, errors counted in one system only, or nothing to count.
    """
    errors, reference, clusters, weights = _counted(errors_mm, reference_mm, clusters, weights)
    means, shares = _cluster_sums(errors - reference, clusters, weights)
    spread = variance_parts(means, shares)
    low, high = interval(means, shares, level=level, resamples=resamples, seed=seed)
    base, own = (float(np.average(e, axis=1, weights=weights).mean()) for e in (reference, errors))
    relative = _relative_interval(errors, reference, clusters, weights, level, resamples, seed)
    seeds, count = means.shape
    return PairedDifference(
        difference_mm=float(spread.mean),
        low_mm=float(low),
        high_mm=float(high),
        p_value=float(p_value(means, shares, resamples=resamples, seed=seed)),
        mean_mm=own,
        reference_mm=base,
        percent=100 * (own / base - 1) if base else float("nan"),
        percent_low=relative[0],
        percent_high=relative[1],
        per_seed_mm=tuple(float(value) for value in spread.by_seed),
        cluster_se_mm=float(np.sqrt(spread.cluster_variance)),
        seed_se_mm=float(np.sqrt(spread.seed_variance)),
        detectable_mm=detectable_difference(
            np.sqrt(spread.cluster_variance),
            np.sqrt(spread.seed_variance),
            clusters=effective_clusters(shares),
            seeds=seeds,
            level=level,
        ),
        seeds=seeds,
        clusters=count,
        samples=errors.shape[1],
        level=level,
        caveats=_caveats(seeds, count),
    )


def cluster_ids(*columns: np.ndarray) -> np.ndarray:
    """(N,) number of the distinct combination that each sample has, e.g. of subject, sequence."""
    table = np.stack([np.asarray(column) for column in columns], axis=1)
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values adjusted for their number (Holm, 1979), in the given order; NaN stays NaN.

    A NaN counts as a comparison that was declared: it makes the others no smaller.
    """
    values = np.asarray(p_values, float)
    adjusted = np.full(values.shape, np.nan)
    order = np.argsort(values)  # NaN last
    known = order[~np.isnan(values[order])]
    factors = len(values) - np.arange(len(known))
    adjusted[known] = np.minimum(1.0, np.maximum.accumulate(values[known] * factors))
    return adjusted


def detectable_difference(
    cluster_se_mm: float,
    seed_se_mm: float,
    *,
    clusters: float,
    seeds: int,
    level: float = LEVEL,
    power: float = 0.8,
) -> float:
    """The smallest true difference found with probability `power` at significance 1 - `level`.

    Args:
        cluster_se_mm, seed_se_mm: standard errors of the mean by clusters and by seeds; from
            expected standard deviations, sd / sqrt(C) and sd / sqrt(S).
        clusters, seeds: numbers of them; of clusters of unequal size the effective one.

    Returns:
        NaN with fewer than two clusters.
    """
    if not clusters > 1:
        return float("nan")
    reach = stats.t.ppf((1 + level) / 2, max(clusters - 1, 1)) * cluster_se_mm
    if seeds > 1:
        reach = np.hypot(reach, stats.t.ppf((1 + level) / 2, seeds - 1) * seed_se_mm)
    return float(reach + stats.norm.ppf(power) * np.hypot(cluster_se_mm, seed_se_mm))


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
    if clusters < _FEWEST_FOR_BOOTSTRAP:
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


def _counted(errors_mm, reference_mm, clusters, weights) -> tuple[np.ndarray, ...]:
    errors, reference = (np.atleast_2d(np.asarray(e, float)) for e in (errors_mm, reference_mm))
    clusters = np.asarray(clusters)
    if errors.shape != reference.shape or clusters.shape != errors.shape[1:]:
        raise ValueError(
            f"errors {errors.shape} and reference {reference.shape} must be (seeds, samples) of "
            f"the same samples, and clusters {clusters.shape} one value per sample."
        )
    weights = np.ones(errors.shape[1]) if weights is None else np.asarray(weights, float)
    if weights.shape != clusters.shape or not (weights >= 0).all():
        raise ValueError(f"weights {weights.shape} must be one number >= 0 per sample.")
    left_out = np.isnan(np.concatenate([errors, reference]))
    if (left_out.any(0) & ~left_out.all(0)).any():
        where = np.flatnonzero(left_out.any(0) & ~left_out.all(0))
        raise ValueError(
            f"{len(where)} samples (the first: {where[0]}) are counted in some systems or seeds "
            "and NaN in others. Score all of them on one set of rows, with one mask."
        )
    kept = ~left_out.all(0) & (weights > 0)
    if not kept.any():
        raise ValueError("No sample is counted: all errors are NaN or of weight 0.")
    return errors[:, kept], reference[:, kept], clusters[kept], weights[kept]


def _cluster_sums(values, clusters, weights) -> tuple[np.ndarray, np.ndarray]:
    """(S, C) weighted means and (C,) shares of the weight."""
    number = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    weight = np.bincount(number, weights)
    sums = np.stack([np.bincount(number, weights * row) for row in values])
    return sums / weight, weight / weight.sum()


def _relative_interval(errors, reference, clusters, weights, level, resamples, seed):
    """Interval of 100 (mean / reference mean - 1), by the ratio's linearisation."""
    own, base = (float(np.average(e, axis=1, weights=weights).mean()) for e in (errors, reference))
    if base == 0:
        return float("nan"), float("nan")
    linear = 100 * (errors - own / base * reference) / base
    means, shares = _cluster_sums(linear, clusters, weights)
    low, high = interval(means, shares, level=level, resamples=resamples, seed=seed)
    ratio = 100 * (own / base - 1)
    return ratio + float(low), ratio + float(high)


def _caveats(seeds: int, clusters: int) -> tuple[str, ...]:
    found = []
    if seeds == 1:
        found.append("One seed: the interval leaves out the spread from training again.")
    if clusters == 1:
        found.append("One cluster: no interval can be given.")
    elif clusters < _FEWEST_FOR_BOOTSTRAP:
        found.append(f"{clusters} clusters: Student's t alone, without the bootstrap.")
    return tuple(found)
