"""Sign-flip permutation test of a mean difference over clusters.

If two systems are equally good, the difference of a cluster is as likely positive as negative. The
test needs no normal distribution. It treats the training runs as fixed, so it says nothing about
training again. Source: Winkler et al., NeuroImage 92, 2014.
"""

import itertools

import numpy as np

EXACT_CLUSTERS = 13  # 2 ** 13 patterns are enumerated; more clusters are sampled
SAMPLES = 9999


def sign_flip_p_value(cluster_means: np.ndarray, shares: np.ndarray) -> float:
    """Return the two-sided p-value of "no difference".

    Args:
        cluster_means: (C,) Mean difference of each cluster, averaged over the runs.
        shares: (C,) Weight of each cluster; they sum to 1.

    Returns:
        NaN with a single cluster.
    """
    count = len(cluster_means)
    if count < 2:
        return float("nan")
    if count <= EXACT_CLUSTERS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=count)))
    else:
        signs = np.random.default_rng(0).choice((1.0, -1.0), (SAMPLES, count))
        signs = np.concatenate([np.ones((1, count)), signs])  # the observed pattern counts
    values = np.abs(signs @ (cluster_means * shares))
    observed = abs(float((cluster_means * shares).sum()))
    return float((values >= observed * (1 - 1e-12)).mean())
