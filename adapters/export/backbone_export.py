"""Writing registered weights as other people's code reads them."""

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
    """Write registered weights as a target's own code reads them.

    Args:
        target: An `ExportTarget`, or a `PoseTarget` with an `export`.
        backbone: Name or path of registered weights.
        path: What is written.
        options: Options of `target.export`.

    Raises:
        ValueError: An option that the target does not have; lists those it has.
        UnknownBackbone: No weights of that name.
        As `target.export`.
    """
    check_section("export", target.export, options, ("network", "stored", "path"))
    whole_folder = isinstance(target, ExportTarget) and target.takes == "folder"
    source = find_backbone(backbone) if whole_folder else load_network(backbone)
    return target.export(source, path, **options)
