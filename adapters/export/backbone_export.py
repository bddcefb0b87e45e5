"""Export of registered weights to formats of other libraries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.targets import ExportReport, ExportTarget, PoseTarget
from gesture_pretrain.config.sections import check_section
from gesture_pretrain.weights.registry import find_backbone, load_network


def export_weights(
    target: PoseTarget | ExportTarget,
    backbone: str,
    path: str | Path,
    options: Mapping[str, Any],
) -> ExportReport:
    """Export registered weights in a target's format.

    Args:
        target: An `ExportTarget`, or a `PoseTarget` with an `export`.
        backbone: Name or path of registered weights.
        path: Output path.
        options: Options of `target.export`.

    Raises:
        ValueError: The target does not have an option.
        UnknownBackbone: No weights of that name.
        SwapError: See `target.export`.
    """
    check_section("export", target.export, options, ("network", "stored", "path"))
    whole_folder = isinstance(target, ExportTarget) and target.takes == "folder"
    source = find_backbone(backbone) if whole_folder else load_network(backbone)
    return target.export(source, path, **options)
