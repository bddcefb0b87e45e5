"""Two-dimensional t-SNE embeddings of features, as in Figures 4 and 5 of arXiv 2603.17396.

t-SNE shows neighbourhoods only; distances between clusters and cluster sizes are meaningless. A
figure coloured by the training labels is circular and should be read together with the pose
measures of `gesture_pretrain.evaluation.features`.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE


def choose_points(num_samples: int, *, max_points: int = 1000, seed: int = 0) -> np.ndarray:
    """Draw at most `max_points` of `num_samples` positions without replacement, sorted."""
    if num_samples <= max_points:
        return np.arange(num_samples)
    drawn = np.random.default_rng(seed).choice(num_samples, size=max_points, replace=False)
    return np.sort(drawn)


def tsne_2d(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Embed features in the plane.

    The features are reduced to 50 principal components first (van der Maaten and Hinton 2008,
    section 4.2, use 30), which changes little and saves most of the time. The perplexity is 30, or
    (N - 1) / 3 for small N.

    Args:
        features: (N, C). N must exceed 3.
        seed: Random seed.

    Returns:
        (N, 2) float32.
    """
    features = np.asarray(features, dtype=np.float32)
    num_samples = len(features)
    if features.ndim != 2 or num_samples < 4:
        raise ValueError(f"t-SNE needs (N, C) features with N >= 4, got {features.shape}.")
    if not np.isfinite(features).all():
        raise ValueError("The features hold NaN or infinite values; t-SNE cannot place them.")
    dims = min(50, features.shape[1], num_samples)
    reduced = PCA(dims, svd_solver="randomized", random_state=seed).fit_transform(features)
    spread = reduced.std() or 1.0
    tsne = TSNE(
        perplexity=min(30.0, (num_samples - 1) / 3),
        init="pca",
        learning_rate="auto",
        random_state=seed,
    )
    return tsne.fit_transform(reduced / spread).astype(np.float32)
