"""Controls that label whole clusters: all images of one subject in one sequence share a class.

Such labels are as learnable as gestures and agree over views and time like them, but mean nothing
across subjects. Only images whose sequence has a gesture are labelled, as with the true labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.taxonomy import Taxonomy


@dataclass(frozen=True)
class Cluster:
    """The images of one subject in one sequence.

    Attributes:
        split: Code of the split.
        subject: Number of the subject.
        label: Source label (sequence name).
    """

    split: int
    subject: int
    label: str


def labelled_clusters(index: HandIndex, taxonomy: Taxonomy) -> tuple[Cluster, ...]:
    """Return the clusters of an index that have a gesture, in a fixed order.

    Raises:
        ValueError: The index does not tell subjects apart.
    """
    if "subject" not in index.columns:
        raise ValueError(
            f"{index.meta['data_name']} does not tell subjects apart, so its labels cannot be "
            "exchanged among subjects. Choose label_variant='shuffled' instead."
        )
    columns = [np.asarray(index.values(name)) for name in ("split", "subject", "sequence")]
    found = np.unique(np.stack(columns, axis=1), axis=0).tolist()
    clusters = [Cluster(split, subject, index.labels[code]) for split, subject, code in found]
    return tuple(c for c in clusters if c.label in taxonomy.coarse_of)


def cluster_shuffled(taxonomy: Taxonomy, clusters: Sequence[Cluster], seed: int) -> Taxonomy:
    """Exchange gestures among the clusters of a split that show the same hand.

    Every class keeps its number of clusters, and handedness stays what it was.
    """
    stream = np.random.Generator(np.random.Philox(key=[seed, 0xC105E5]))
    classes = {}
    for kind in sorted({_kind(c, taxonomy) for c in clusters}):
        members = [c for c in clusters if _kind(c, taxonomy) == kind]
        for own, other in zip(members, stream.permutation(len(members)), strict=True):
            classes[own.subject, own.label] = taxonomy.ids(members[other].label)
    return replace(
        taxonomy, name=f"{taxonomy.name}-cluster_shuffled{seed}", class_of_cluster=classes
    )


def sequence_identity(taxonomy: Taxonomy, clusters: Sequence[Cluster], seed: int) -> Taxonomy:
    """Give each cluster its own class at both levels; a mirror image keeps its class."""
    del seed  # nothing is drawn
    distinct = dict.fromkeys((c.subject, c.label) for c in clusters)
    ids = {key: k for k, key in enumerate(distinct)}
    names = tuple(f"subject {subject}, {label}" for subject, label in ids)
    of_label = {label: k for (_, label), k in ids.items()}
    same = tuple(range(len(names)))
    return replace(
        taxonomy,
        name=f"{taxonomy.name}-sequence_identity",
        labels=tuple(label for label in taxonomy.labels if label in of_label),
        coarse_of=of_label,
        fine_of=dict(of_label),
        coarse_names=names,
        fine_names=names,
        coarse_flip=same,
        fine_flip=same,
        class_of_cluster={key: (k, k) for key, k in ids.items()},
    )


CLUSTER_CONTROLS: dict[str, Callable[[Taxonomy, Sequence[Cluster], int], Taxonomy]] = {
    "cluster_shuffled": cluster_shuffled,
    "sequence_identity": sequence_identity,
}


def _kind(cluster: Cluster, taxonomy: Taxonomy) -> tuple[int, str]:
    return cluster.split, taxonomy.hand_of(cluster.label) or ""
