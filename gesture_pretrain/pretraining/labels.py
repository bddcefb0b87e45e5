"""Labels of a run: its taxonomy, with the label variant and the withheld gestures applied."""

from collections.abc import Sequence

from gesture_pretrain.cluster_labels import CLUSTER_CONTROLS, labelled_clusters
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.taxonomy import CONTROLS, Taxonomy

INDEX_LABELS = "index_labels"
LABEL_VARIANTS = (*CONTROLS, *CLUSTER_CONTROLS)


def load_taxonomy(
    name: str,
    variant: str | None,
    seed: int,
    index: HandIndex,
    *,
    withheld: Sequence[str] | float = (),
    withheld_seed: int = 0,
) -> Taxonomy:
    """Load a taxonomy; the arguments are fields of `GestureDataSection`."""
    if name == INDEX_LABELS:
        classes = Taxonomy.from_index_labels(index.labels)
    else:
        classes = Taxonomy.load(name)
    classes = classes.without(withheld_labels(classes, withheld, withheld_seed))
    if variant in CLUSTER_CONTROLS:
        return CLUSTER_CONTROLS[variant](classes, labelled_clusters(index, classes), seed)
    return classes if variant is None else classes.control(variant, seed=seed)


def withheld_labels(
    taxonomy: Taxonomy, withheld: Sequence[str] | float, seed: int
) -> tuple[str, ...]:
    """List the labels excluded from training: those given, or of a fraction of the gestures."""
    if isinstance(withheld, float):
        return taxonomy.drawn_gestures(withheld, seed)
    return tuple(withheld)
