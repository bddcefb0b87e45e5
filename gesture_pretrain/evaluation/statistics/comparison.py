"""Paired comparison of two systems, with clusters of samples and training runs as random factors.

Both systems are scored on the same samples, and the difference of each sample is analysed. Frames
of one person or sequence are not independent, so samples are grouped into clusters. Training again
with another seed gives another network, so runs form a second factor, crossed with the clusters.
`crossed` gives the interval and the p-value, `sign_flip` a second p-value by another method.

Letters: R runs, C clusters, N samples. Millimetres.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from gesture_pretrain.evaluation.statistics.crossed import (
    LEVEL,
    Components,
    crossed_interval,
    crossed_p_value,
    crossed_reach,
    variance_components,
)
from gesture_pretrain.evaluation.statistics.sign_flip import sign_flip_p_value

POWER = 0.8  # of the detectable differences


@dataclass(frozen=True)
class PairedDifference:
    """The errors of a system minus those of its reference, on the same samples.

    Intervals are 95 % intervals.

    Attributes:
        difference_mm: Mean difference; negative if the system is better.
        low_mm: Low end of the interval; NaN with a single cluster.
        high_mm: High end of the interval; NaN with a single cluster.
        p_value: Two-sided p-value of "no difference" (`crossed`); NaN with a single cluster.
        sign_flip_p: The same by sign-flip permutation over clusters, runs fixed.
        mean_mm: Mean error of the system.
        reference_mm: Mean error of the reference.
        percent: Difference relative to the reference's mean.
        percent_low: Low end of its interval.
        percent_high: High end of its interval.
        per_seed_mm: Mean difference of each run.
        cluster_se_mm: Standard error of the mean by clusters.
        seed_se_mm: Standard error of the mean by fine-tuning seeds.
        pretraining_se_mm: Standard error of the mean by pretrainings; 0 with a single one.
        detectable_mm: True difference that such data would detect with a power of 80 %.
        seeds: Number of runs.
        pretrainings: Number of pretrainings the runs start from.
        clusters: Number of clusters.
        samples: Number of samples.
        caveats: Sentences that belong next to the interval.
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
    sign_flip_p: float = float("nan")
    pretraining_se_mm: float = 0.0
    pretrainings: int = 1
    caveats: tuple[str, ...] = ()


def compare_paired(
    errors_mm: np.ndarray,
    reference_mm: np.ndarray,
    clusters: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    pretrainings: Sequence | None = None,
) -> PairedDifference:
    """Compare two systems by their errors on the same samples.

    Args:
        errors_mm: (R, N) Error of each sample, one row per run; NaN where not counted.
        reference_mm: (R, N) Errors of the reference; row i is paired with row i of `errors_mm`.
        clusters: (N,) Cluster of each sample; see `cluster_ids`.
        weights: (N,) Weight of each sample, such as its number of counted joints; None for equal.
        pretrainings: (R,) Pretraining each run starts from; None if all runs share one.

    Raises:
        ValueError: Shapes that do not fit, samples that only one system counts, nothing to count,
            or pretrainings with different numbers of runs.
    """
    errors, reference, clusters, weights = _counted(errors_mm, reference_mm, clusters, weights)
    groups = None if pretrainings is None else np.asarray(pretrainings)
    means, shares = _cluster_sums(errors - reference, clusters, weights)
    parts = variance_components(means, shares, groups)
    low, high = crossed_interval(parts)
    own, base = (float(np.average(e, axis=1, weights=weights).mean()) for e in (errors, reference))
    relative = _relative_interval(errors, reference, clusters, weights, groups)
    runs, count = means.shape
    started = 1 if groups is None else len(np.unique(groups))
    return PairedDifference(
        difference_mm=float(parts.mean),
        low_mm=float(low),
        high_mm=float(high),
        p_value=float(crossed_p_value(parts)),
        sign_flip_p=sign_flip_p_value(parts.by_cluster, shares),
        mean_mm=own,
        reference_mm=base,
        percent=100 * (own / base - 1) if base else float("nan"),
        percent_low=relative[0],
        percent_high=relative[1],
        per_seed_mm=tuple(float(value) for value in parts.by_run),
        cluster_se_mm=float(parts.errors["clusters"]),
        seed_se_mm=float(parts.errors.get("seeds", 0.0)),
        pretraining_se_mm=float(parts.errors.get("pretrainings", 0.0)),
        detectable_mm=_detectable(parts),
        seeds=runs,
        pretrainings=started,
        clusters=count,
        samples=errors.shape[1],
        caveats=_caveats(runs, count),
    )


def cluster_ids(*columns: np.ndarray) -> np.ndarray:
    """Number the distinct combinations (N,) of the columns, such as subject and sequence."""
    table = np.stack([np.asarray(column) for column in columns], axis=1)
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Adjust p-values for their number (Holm, 1979), in the given order; NaN stays NaN.

    A NaN still counts as a declared comparison.
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
) -> float:
    """Return the smallest true difference detected with a power of 80 %.

    Args:
        cluster_se_mm: Standard error of the mean by clusters, sd / sqrt(C).
        seed_se_mm: Standard error of the mean by seeds, sd / sqrt(R).
        clusters: Number of clusters; the effective number if their sizes differ.
        seeds: Number of runs.

    Returns:
        NaN with fewer than two clusters.
    """
    if not clusters > 1:
        return float("nan")
    errors, freedom = {"clusters": np.float64(cluster_se_mm)}, {"clusters": max(clusters - 1, 1.0)}
    if seeds > 1:
        errors["seeds"], freedom["seeds"] = np.float64(seed_se_mm), seeds - 1.0
    nothing = np.zeros(())
    return _detectable(Components(nothing, nothing, nothing, errors, freedom))


def _detectable(parts: Components) -> float:
    total = np.sqrt(sum(error**2 for error in parts.errors.values()))
    return float(crossed_reach(parts, 1 - LEVEL) + stats.norm.ppf(POWER) * total)


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


def _relative_interval(errors, reference, clusters, weights, groups):
    """Interval of 100 (mean / reference mean - 1), by linearising the ratio."""
    own, base = (float(np.average(e, axis=1, weights=weights).mean()) for e in (errors, reference))
    if base == 0:
        return float("nan"), float("nan")
    linear = 100 * (errors - own / base * reference) / base
    means, shares = _cluster_sums(linear, clusters, weights)
    low, high = crossed_interval(variance_components(means, shares, groups))
    ratio = 100 * (own / base - 1)
    return ratio + float(low), ratio + float(high)


def _caveats(runs: int, clusters: int) -> tuple[str, ...]:
    found = []
    if runs == 1:
        found.append("One run: the interval excludes the variance of training again.")
    if clusters == 1:
        found.append("One cluster: no interval can be given.")
    elif clusters < 10:
        found.append(f"{clusters} clusters: with skewed differences the interval is too narrow.")
    return tuple(found)
