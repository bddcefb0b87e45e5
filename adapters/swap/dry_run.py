"""Dry run of a swap: the ledger of every tensor, without writing anything."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.export.backbone_export import export_weights
from adapters.swap.ledger import SwapLedger
from adapters.swap.swap import build_swapped
from adapters.targets import ExportTarget, PoseTarget, find_pose_target, model_options
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.skeleton import HANDS
from gesture_pretrain.weights.registry import find_backbone, load_network


def try_swap(target: str | PoseTarget, backbone: str, *, seed: int = 0, **model: Any) -> SwapLedger:
    """Build a target around registered weights and account for every tensor; write nothing.

    Args:
        target: Name of a target, or the target.
        backbone: Name or path of registered weights.
        seed: Random seed of the target's new weights.
        model: `size` (preset of the target, default "full"), `allow_projection`, and options of
            `target.build_model`.

    Raises:
        SwapError: Backbone and target are incompatible.
        UnknownTarget, UnknownBackbone: No such name.
    """
    chosen = find_pose_target(target) if isinstance(target, str) else target
    _, ledger = build_swapped(
        chosen,
        load_network(backbone),
        backbone_name=find_backbone(backbone).name,
        seed=seed,
        # the hand model has no weights, so any hand model gives the same tensors
        hand_models={side: load_hand_model(side, "open") for side in HANDS},
        **model_options(chosen, model),
    )
    return ledger


def try_export(
    target: ExportTarget, backbone: str, path: str | Path, options: Mapping[str, Any]
) -> str:
    """Export registered weights to a temporary file and return the ledger as text.

    Args:
        target: Format of the file. Targets that take a whole folder are only announced.
        backbone: Name or path of registered weights.
        path: Name of the exported file.
        options: Options of `target.export`.

    Raises:
        SwapError, ValueError: See `export_weights`.
    """
    if target.takes == "folder":
        stored = find_backbone(backbone)
        return f"would export the folder {stored.path} of {stored.name}"
    with tempfile.TemporaryDirectory() as folder:
        report = export_weights(target, backbone, Path(folder) / Path(path).name, options)
    return f"{target.name}: exported to a temporary file and deleted\n{report.ledger.table()}"
