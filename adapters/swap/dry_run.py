"""What would become of every tensor of a backbone in a target, without writing anything."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.export.backbone_export import export_weights
from adapters.swap.swap import build_swapped, parameter_table
from adapters.targets import ExportTarget, PoseTarget
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.skeleton import HANDS
from gesture_pretrain.weights.registry import find_backbone, load_network

_ENDINGS = {"onnx": ".onnx", "mmpose": ".pth"}


def try_swap(target: PoseTarget, backbone: str, *, seed: int, options: Mapping[str, Any]) -> str:
    """Build a target around registered weights: its ledger and parameter counts, as text.

    Args:
        target: What is built.
        backbone: Name or path of registered weights.
        seed: Of the target's random weights.
        options: Of `target.build_model`, and `allow_projection`.

    Raises:
        As `build_swapped` and `load_network`.
    """
    # The hand model holds no weights; any will do to count tensors
    model, ledger = build_swapped(
        target,
        load_network(backbone),
        backbone_name=find_backbone(backbone).name,
        seed=seed,
        hand_models={side: load_hand_model(side, "open") for side in HANDS},
        **options,
    )
    return f"{ledger.table()}\n{parameter_table(model, ledger)}"


def try_export(
    target: ExportTarget, backbone: str, path: str | Path | None, options: Mapping[str, Any]
) -> str:
    """Export registered weights to a file that is not kept: its ledger, as text.

    Args:
        target: Whose file it is. One that takes a whole folder is not tried, only announced.
        backbone: Name or path of registered weights.
        path: The file that would be written, for its name; None for any.
        options: Of `target.export`.

    Raises:
        As `export_weights`.
    """
    if target.takes == "folder":
        stored = find_backbone(backbone)
        return f"would export the folder {stored.path} of {stored.name}"
    name = Path(path or "dry_run").name
    if not Path(name).suffix:
        name += _ENDINGS.get(target.name, ".safetensors")
    with tempfile.TemporaryDirectory() as folder:
        report = export_weights(target, backbone, Path(folder) / name, options)
    return f"{target.name}: tried out, nothing was kept\n{report.ledger.table()}"
