"""Does one system have smaller errors than another: paired, by cluster of frames, over seeds.

Both systems are scored on the same samples; what counts is the difference per sample. Frames of
one sequence are not independent, so the unit is the cluster (subject, sequence). Training again
with another seed gives another network, so seeds are a second level, crossed with the first: every
seed is scored on every cluster.

The estimate is the mean difference over samples and seeds; `two_level_interval` gives its interval
and p-value.

Letters: S seeds, C clusters, N samples. Millimetres.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from gesture_pretrain.evaluation.statistics.two_level_interval import (
    FEWEST_FOR_BOOTSTRAP,
    LEVEL,
    RESAMPLES,
    combined_reach,
    effective_clusters,
    interval,
    p_value,
    variance_parts,
)


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
        cluster_se_mm, seed_se_mm: sqrt(V_C) and sqrt(V_S) of `two_level_interval`.
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
    reach = combined_reach(
        np.float64(cluster_se_mm),
        np.float64(seed_se_mm),
        alpha=1 - level,
        clusters=clusters,
        seeds=seeds,
    )
    return float(reach + stats.norm.ppf(power) * np.hypot(cluster_se_mm, seed_se_mm))


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
    elif clusters < FEWEST_FOR_BOOTSTRAP:
        found.append(f"{clusters} clusters: Student's t alone, without the bootstrap.")
    return tuple(found)
