"""Accuracy of each pretraining on its own labels: did it learn them?"""

from pathlib import Path

import numpy as np
import pandas as pd

from adapters.transfer.plan.cell import PRETRAINING, CellTable
from adapters.transfer.plan.initial_weights import stored_records
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.cell_folder import CellFolder
from gesture_pretrain.report.frames import texts_frame
from gesture_pretrain.weights.record import WeightRecord

_ACCURACIES = {
    f"{part} top-1, {level}": f"{prefix}_{level}_top1"
    for part, prefix in (("train", "train"), ("validation", "val"))
    for level in ("coarse", "fine")
}
_COLUMNS = ("arm", "starts from", "labels", "images", "runs", *_ACCURACIES)


def pretraining_table(plan: Plan, table: CellTable, out: Path) -> pd.DataFrame:
    """Build a row per arm and backbone that was pretrained, by this plan or according to a card."""
    results: dict[tuple[str, str], list[dict]] = {}
    for cell in table.cells:
        result = CellFolder(out, cell).result() if cell.stage == PRETRAINING else None
        if result is not None:
            results.setdefault((cell.arm, cell.backbone), []).append(result)
    rows = [_row(plan, *place, found) for place, found in results.items()]
    rows += [_stored_row(arm, record) for arm, record in stored_records(plan).items()]
    return texts_frame(rows, _COLUMNS)


def _row(plan: Plan, arm: str, backbone: str, results: list[dict]) -> dict[str, str | None]:
    first = results[0]
    withheld = len(first.get("withheld", ()))
    return {
        "arm": f"{arm}, {backbone}",
        "starts from": plan.arms[arm].starts_from,
        "labels": (first.get("labels") or "gesture")
        + (f", {withheld} labels withheld" if withheld else ""),
        "images": _count(first.get("train_images")),
        "runs": str(len(results)),
        **_accuracies([result["metrics"] for result in results]),
    }


def _stored_row(arm: str, record: WeightRecord) -> dict[str, str | None]:
    return {
        "arm": f"{arm}, {record.arch}",
        "starts from": str(record.config.get("backbone", {}).get("init", "not in its card")),
        "labels": record.label_variant,
        "images": _count(record.metrics.get("train_images")),
        "runs": "1",
        **_accuracies([record.metrics]),
    }


def _accuracies(metrics: list[dict]) -> dict[str, str | None]:
    """Format the mean of each accuracy over runs; None if a run did not measure it."""
    means = {
        column: np.mean([each.get(key, np.nan) for each in metrics])
        for column, key in _ACCURACIES.items()
    }
    return {name: None if np.isnan(m) else f"{100 * m:.1f} %" for name, m in means.items()}


def _count(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f}"
