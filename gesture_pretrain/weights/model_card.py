"""The README of exported weights: the content of the card in readable form."""

import json
from collections.abc import Mapping

from gesture_pretrain.tables import markdown_table
from gesture_pretrain.weights.record import WeightRecord


def model_card(record: WeightRecord) -> str:
    """Format a card as Markdown: contents, usage, training data and licence."""
    parts = [
        _front_matter(record) + f"\n\n# {record.name}",
        _summary(record),
        _usage(record),
        _table("Feature maps", ("level", "channels", "stride"), _level_rows(record)),
        _table("Metrics", ("metric", "value"), _rows(record.metrics)),
        _table("Made with", ("library", "version"), _rows(record.library_versions)),
        f"Created {record.created}, commit {record.commit or 'unknown'}. The full record, with "
        "the resolved configuration and the hash of each file, is in `card.json`.",
        f"Pulled from `{record.source}`." if record.source else "",
        record.notes,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(record: WeightRecord) -> str:
    """Format YAML metadata for the Hugging Face Hub."""
    tags = ["gesture-pretrain", "hand-pose", "image-feature-extraction", record.arch]
    lines = ["library_name: gesture-pretrain", "pipeline_tag: image-feature-extraction"]
    if record.data is not None:
        lines += ["license: other", f"license_name: {json.dumps(record.data.licence)}"]
    lines += ["tags:", *(f"- {json.dumps(tag)}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


def _summary(record: WeightRecord) -> str:
    lines = [f"Weights of a `{record.arch}` for RGB crops of {record.input.size_px} px."]
    if record.taxonomy and record.heads:
        lines.append(
            f"Trained to classify {record.heads.num_coarse} coarse and {record.heads.num_fine} "
            f"fine gestures (taxonomy `{record.taxonomy.name}`, labels: {record.label_variant})."
        )
    if record.data is None:
        lines.append("Training data: not stated.")
        return "\n".join(lines)
    lines.append(f"Training data: {record.data.name}. Licence of the data: {record.data.licence}.")
    if options := record.data.details.get("beyond_paper"):
        labels = ", ".join(record.data.details["labels_used"])
        lines.append(f"Options beyond the paper: {', '.join(options)}. Labels used: {labels}.")
    if teacher := record.data.details.get("teacher"):
        lines.append(
            f"Distilled from {teacher['name']}, trained on {teacher['data']} "
            f"({teacher['label_variant']} labels)."
        )
    if record.data.synthetic:
        lines.append("The images are synthetic (rendered); no photograph was used in this run.")
    return "\n".join(lines)


def _usage(record: WeightRecord) -> str:
    mean, std = (_triple(values) for values in (record.input.mean, record.input.std))
    return (
        "```python\n"
        "from gesture_pretrain import load_backbone\n\n"
        f'backbone = load_backbone("{record.name}")  # or the path of this folder\n'
        "features = backbone(image)  # features.levels, features.pooled\n"
        "```\n\n"
        f"`image` is `(B, 3, H, W)`, RGB, scaled to [0, 1], then normalised with mean {mean} and "
        f"std {std}. H and W are multiples of {record.input.multiple_of}."
    )


def _triple(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _level_rows(record: WeightRecord) -> list[tuple]:
    roles = {record.low: " (low)", record.high: " (high)"}
    return [
        (name + roles.get(name, ""), spec.channels, spec.stride)
        for name, spec in record.feature_specs.items()
    ]


def _rows(values: Mapping) -> list[tuple]:
    return [
        (name, f"{value:.4g}" if isinstance(value, float) else value)
        for name, value in sorted(values.items())
    ]


def _table(title: str, header: tuple[str, ...], rows: list[tuple]) -> str:
    return f"## {title}\n\n{markdown_table(header, rows)}" if rows else ""
