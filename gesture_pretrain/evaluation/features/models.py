"""Backbones of an evaluation, and its taxonomy."""

from pathlib import Path

from torch import nn

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.taxonomy import CONTROLS, Taxonomy, packaged_taxonomies
from gesture_pretrain.weights.record import WeightRecord
from gesture_pretrain.weights.registry import find_backbone, load_backbone

UNTRAINED = "untrained"
INDEX_LABELS = "index_labels"


def chosen_taxonomy(asked: str | None, record: WeightRecord, index: HandIndex) -> Taxonomy:
    """Load the requested taxonomy, or that of the backbone's heads.

    For a backbone trained on shuffled labels, the taxonomy is not shuffled, so that features are
    compared with the true labels.

    Raises:
        ValueError: The card names no taxonomy, or one that is not available.
    """
    if asked == INDEX_LABELS:
        return Taxonomy.from_index_labels(index.labels)
    if asked is not None:
        return Taxonomy.load(asked)
    if record.taxonomy is None:
        raise ValueError(
            f"'{record.name}' was exported without a taxonomy. Choose one: "
            f"{', '.join(packaged_taxonomies())}, a CSV file, or {INDEX_LABELS}."
        )
    variant = record.label_variant
    base = _base_taxonomy(record.taxonomy.name.removesuffix(f"-{variant}"), record, index)
    return base.control(variant) if variant in CONTROLS else base


def _base_taxonomy(name: str, record: WeightRecord, index: HandIndex) -> Taxonomy:
    if name in packaged_taxonomies():
        return Taxonomy.load(name)
    source = record.config.get("data", {}).get("taxonomy")
    if source == INDEX_LABELS:
        return Taxonomy.from_index_labels(index.labels)
    if source is None or not Path(source).is_file():
        raise ValueError(
            f"'{record.name}' was trained on taxonomy '{name}', whose CSV file is missing "
            f"({source}). Give the taxonomy's file."
        )
    return Taxonomy.load(source)


def heads_fit(record: WeightRecord, taxonomy: Taxonomy) -> bool:
    """Return whether the heads predict the classes of `taxonomy`.

    Shuffled or withheld labels have the same classes.
    """
    trained = record.taxonomy
    if trained is None:
        return False
    if trained.sha256 == taxonomy.sha256:
        return True
    relabelled = record.label_variant.startswith(("shuffled", "cluster_shuffled"))
    withheld = bool(record.config.get("data", {}).get("withheld"))
    own = (tuple(trained.coarse_names), tuple(trained.fine_names))
    return (relabelled or withheld) and own == (taxonomy.coarse_names, taxonomy.fine_names)


def open_models(
    name: str,
    baselines: list[str] | tuple[str, ...],
    record: WeightRecord,
    taxonomy: Taxonomy,
    with_heads: bool,
    left_out: list[str],
) -> dict[str, nn.Module]:
    """Load the backbone and its baselines by name, with heads if they fit the taxonomy.

    Raises:
        ValueError: The backbone's heads have another taxonomy and `with_heads` is set.
    """
    with_heads = with_heads and record.heads is not None
    if with_heads and not heads_fit(record, taxonomy):
        raise ValueError(
            f"The heads of '{name}' were trained on taxonomy '{record.taxonomy.name}', but "
            f"'{taxonomy.name}' is requested, whose classes differ. Evaluate without the heads "
            "(with_heads=False), or use the heads' own taxonomy."
        )
    models = {name: load_backbone(name, with_heads=with_heads)}
    if not with_heads:
        left_out.append(f"The heads of {name}.")
    backbone = models[name].backbone if with_heads else models[name]
    for baseline in dict.fromkeys(baselines):
        if baseline == UNTRAINED:
            models[baseline] = build_backbone(
                backbone.arch, size_px=backbone.input_spec.size_px, seed=0
            )
        elif baseline == name:
            raise ValueError(f"'{name}' is given as its own baseline.")
        else:
            fits = with_heads and heads_fit(find_backbone(baseline).record, taxonomy)
            models[baseline] = load_backbone(baseline, with_heads=fits)
            if with_heads and not fits:
                left_out.append(f"The heads of {baseline} (another taxonomy).")
    return models


def common_size(models: dict[str, nn.Module]) -> int:
    """Return the common crop size in pixels; raise ValueError if the models differ."""
    sizes = {name: getattr(m, "backbone", m).input_spec.size_px for name, m in models.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"Backbones side by side must read crops of one size, got {sizes} px. Evaluate them "
            "one at a time."
        )
    return next(iter(sizes.values()))
