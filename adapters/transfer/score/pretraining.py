"""Whether the pretraining arms of a plan learned their labels, from what their cells noted."""

from pathlib import Path

import numpy as np

from adapters.transfer.plan.cell import PRETRAINING, CellTable
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.cell_folder import CellFolder
from adapters.transfer.score.results import PretrainingLine
from gesture_pretrain.weights.registry import find_backbone

_LEVELS = ("coarse_top1", "fine_top1")


def pretraining_lines(plan: Plan, table: CellTable, out: Path) -> tuple[PretrainingLine, ...]:
    """A line per arm and backbone that was pretrained, here or, by its card, elsewhere."""
    noted: dict[tuple[str, str], list[dict]] = {}
    for cell in table.cells:
        result = CellFolder(out, cell).result() if cell.stage == PRETRAINING else None
        if result is not None:
            noted.setdefault((cell.arm, cell.backbone), []).append(result)
    lines = [_line(plan, *place, results) for place, results in noted.items()]
    return (*lines, *_stored_lines(plan))


def _line(plan: Plan, arm: str, backbone: str, results: list[dict]) -> PretrainingLine:
    first = results[0]
    withheld = len(first.get("withheld", ()))
    labels = first.get("labels") or "gesture"
    labels += f", {withheld} labels withheld" if withheld else ""
    return PretrainingLine(
        arm=arm,
        backbone=backbone,
        labels=labels,
        starts_from=plan.arms[arm].starts_from,
        seeds=len(results),
        train_top1=_means(results, "train_"),
        val_top1=_means(results, "val_"),
        images=first.get("train_images"),
    )


def _stored_lines(plan: Plan) -> list[PretrainingLine]:
    lines = []
    for name, arm in plan.arms.items():
        if arm.weights is None:
            continue
        record = find_backbone(arm.weights).record
        noted = [{"metrics": record.metrics}]
        lines.append(
            PretrainingLine(
                arm=name,
                backbone=record.arch,
                labels=record.label_variant,
                starts_from=str(record.config.get("backbone", {}).get("init", "not in its card")),
                seeds=1,
                train_top1=_means(noted, "train_"),
                val_top1=_means(noted, "val_"),
                images=record.metrics.get("train_images"),
            )
        )
    return lines


def _means(results: list[dict], prefix: str) -> tuple[float, float]:
    """Coarse and fine accuracy, mean over runs; NaN where a run did not measure it."""
    return tuple(
        float(np.mean([result["metrics"].get(prefix + level, np.nan) for result in results]))
        for level in _LEVELS
    )
