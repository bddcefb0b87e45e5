"""Interval and p-value of a mean difference over clusters and training runs.

Every training run is scored on every cluster (a subject or a sequence), so clusters and runs are
crossed random factors. Runs differ by their fine-tuning seed, and runs that share a pretraining
are nested in it. The variance components of the mean come from the random-effects analysis of
variance (Searle, Casella and McCulloch, "Variance Components", 1992, chapter 4). The interval
combines the components' Student intervals by MOVER (Zou and Donner, Statistics in Medicine 27,
2008, section 2):

    reach^2 = (t_clusters se_clusters)^2 + (t_seeds se_seeds)^2 + (t_pretrainings se_pretrainings)^2

The p-value is that of the test which this interval inverts. `tools/check_statistics.py` prints
the coverage on simulated data.

Letters: R runs, C clusters, P pretrainings.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

LEVEL = 0.95


@dataclass(frozen=True)
class Components:
    """The mean and its standard error by random factor; arrays over any leading axes.

    Attributes:
        mean: (...,) Mean over clusters and runs.
        by_run: (..., R) Mean of each run.
        by_cluster: (..., C) Mean of each cluster over the runs.
        errors: Standard error (...,) by factor: "clusters", "seeds", "pretrainings".
        freedom: Degrees of freedom by factor.
    """

    mean: np.ndarray
    by_run: np.ndarray
    by_cluster: np.ndarray
    errors: dict[str, np.ndarray]
    freedom: dict[str, float]


def variance_components(
    means: np.ndarray, shares: np.ndarray, pretrainings: np.ndarray | None = None
) -> Components:
    """Estimate how much each random factor adds to the variance of the mean.

    Args:
        means: (..., R, C) Mean difference of each run in each cluster.
        shares: (C,) Weight of each cluster; they sum to 1.
        pretrainings: (R,) Pretraining of each run; None if all runs share one. Each pretraining
            needs the same number of runs.
    """
    by_run, by_cluster = (means * shares).sum(-1), means.mean(-2)
    mean = by_run.mean(-1)
    factor = _unbiased(shares)
    clusters = factor * ((shares * (by_cluster - mean[..., None])) ** 2).sum(-1)
    clusters = np.maximum(clusters - _interaction(means, shares), 0.0)
    errors = {"clusters": np.sqrt(clusters)}
    freedom = {"clusters": max(effective_clusters(shares) - 1, 1.0)}
    for name, (variance, degrees) in _run_variances(by_run, pretrainings).items():
        errors[name], freedom[name] = np.sqrt(variance), degrees
    return Components(mean, by_run, by_cluster, errors, freedom)


def crossed_reach(components: Components, alpha: np.ndarray | float) -> np.ndarray:
    """Return how far (...,) the interval of level 1 - `alpha` reaches to each side of the mean."""
    squares = (
        (_student(alpha, components.freedom[name]) * error) ** 2
        for name, error in components.errors.items()
    )
    return np.sqrt(sum(squares))


def crossed_interval(components: Components) -> tuple[np.ndarray, np.ndarray]:
    """Return the low and high end (...,) of the 95 % interval."""
    reach = crossed_reach(components, 1 - LEVEL)
    return components.mean - reach, components.mean + reach


def crossed_p_value(components: Components) -> np.ndarray:
    """Return the two-sided p-value (...,) of "no difference": 1 - level of the interval at zero."""
    low, high = np.full(components.mean.shape, 1e-12), np.ones(components.mean.shape)
    for _ in range(60):
        middle = np.sqrt(low * high)
        excluded = np.abs(components.mean) > crossed_reach(components, middle)
        low, high = np.where(excluded, low, middle), np.where(excluded, middle, high)
    unknown = np.isnan(components.errors["clusters"])
    return np.where(unknown, np.nan, np.where(components.mean == 0, 1.0, high))


def effective_clusters(shares: np.ndarray) -> float:
    """Return 1 / sum(w^2), the number of equal clusters whose mean has the same variance."""
    return float(1 / (np.asarray(shares) ** 2).sum())


def _student(alpha: np.ndarray | float, freedom: float) -> np.ndarray:
    """Two-sided quantile; `scipy.stats.t.isf(alpha / 2, freedom)` without its slow checks."""
    return -special.stdtrit(freedom, np.asarray(alpha) / 2)


def _interaction(means: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Variance (...,) that the interaction of runs and clusters adds to both factors' parts."""
    runs = means.shape[-2]
    if runs == 1:
        return np.zeros(means.shape[:-2])
    by_run, by_cluster = (means * shares).sum(-1), means.mean(-2)
    rest = means - by_cluster[..., None, :] - (by_run - by_run.mean(-1, keepdims=True))[..., None]
    squares = (shares**2 * (rest**2).sum(-2)).sum(-1)
    return _unbiased(shares) * squares / (runs * (runs - 1))


def _run_variances(by_run: np.ndarray, pretrainings: np.ndarray | None) -> dict:
    """Variance (...,) of the mean and degrees of freedom, by seeds and by pretrainings."""
    groups = np.zeros(by_run.shape[-1]) if pretrainings is None else np.asarray(pretrainings)
    names, number = np.unique(groups, return_inverse=True)
    sizes = np.bincount(number.reshape(-1))
    if len(set(sizes)) > 1:
        raise ValueError(f"Each pretraining needs the same number of runs; found {sizes.tolist()}.")
    count, seeds = len(names), int(sizes[0])
    grouped = np.stack([by_run[..., groups == name] for name in names], axis=-2)  # (..., P, seeds)
    found, within = {}, np.zeros(by_run.shape[:-1])
    if seeds > 1:
        within = grouped.var(-1, ddof=1).mean(-1) / (count * seeds)
        found["seeds"] = within, float(count * (seeds - 1))
    if count > 1:
        between = grouped.mean(-1).var(-1, ddof=1) / count
        found["pretrainings"] = np.maximum(between - within, 0.0), float(count - 1)
    return found


def _unbiased(shares: np.ndarray) -> float:
    """Factor that turns sum(w^2 (x - mean)^2) into the mean's variance; C / (C - 1) if w is equal.

    From E (x_c - mean)^2 = (1 - 2 w_c + sum w^2) times the variance of one cluster.
    """
    squares = (shares**2).sum()
    expected = squares - 2 * (shares**3).sum() + squares**2
    return squares / expected if expected > 1e-12 else np.nan
