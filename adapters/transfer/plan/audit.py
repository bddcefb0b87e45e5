"""Leakage audit of a plan: the training rows of all its cells against the test rows."""

from collections.abc import Iterable

import numpy as np

from adapters.transfer.plan.cell import FINETUNING, PRETRAINING, Cell, CellTable
from adapters.transfer.plan.plan import Plan
from adapters.transfer.plan.rows import finetuning_rows, pretraining_rows, scored_rows
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.leakage import LeakageAudit, audit_leakage
from gesture_pretrain.weights.record import WeightRecord
from gesture_pretrain.weights.registry import find_backbone


def audit_plan(plan: Plan, table: CellTable) -> dict[str, LeakageAudit]:
    """Return what the training rows of the cells share with the test rows, by stage.

    Raises:
        PlanError: There is nothing to score.
    """
    index = HandIndex.open(plan.data["index"])
    test_index = index if plan.test.index is None else HandIndex.open(plan.test.index)
    tested = scored_rows(plan, test_index)
    audits = {}
    for stage in (PRETRAINING, FINETUNING):
        # the cells that choose a learning rate are trained on rows of the first seed's fine-tuning
        rows = _all_rows(index, [cell for cell in table.cells if cell.stage == stage])
        if stage == PRETRAINING:
            rows = np.union1d(rows, _rows_of_stored_weights(plan, index))
        if len(rows):
            audits[stage] = audit_leakage(
                index, rows, test_index, tested, by_content=plan.leakage_by_content
            )
    return audits


def not_audited(plan: Plan) -> list[str]:
    """Return sentences about weights with unknown training images."""
    sentences = []
    index = HandIndex.open(plan.data["index"])
    for name, arm in plan.arms.items():
        if arm.weights is not None:
            record = find_backbone(arm.weights).record
            data = record.data
            if trained_on(record, index):
                continue
            named = "no data" if data is None else f"the data {data.name}"
            sentences.append(
                f"Arm {name} ({arm.weights}) was trained elsewhere. Its card names {named}. "
                "Whether test images are among them is unknown."
            )
        elif arm.init not in (None, "random"):
            sentences.append(
                f"Arm {name} starts from weights ({arm.init}) whose training images are unknown."
            )
    return sentences


def trained_on(record: WeightRecord, index: HandIndex) -> bool:
    """Return whether weights were trained on rows of this index, according to their card."""
    stated = record.data is not None and record.data.details.get("index_fingerprint")
    return stated == index.fingerprint and "data" in (record.config or {})


def _rows_of_stored_weights(plan: Plan, index: HandIndex) -> np.ndarray:
    """Return the rows that stored weights were trained on, of those whose cards state them."""
    parts = [np.empty(0, np.int64)]
    for arm in plan.arms.values():
        if arm.weights is None:
            continue
        record = find_backbone(arm.weights).record
        if trained_on(record, index):
            config = record.config
            parts.append(pretraining_rows(index, config["data"]))
    return np.unique(np.concatenate(parts))


def _all_rows(index: HandIndex, cells: Iterable[Cell]) -> np.ndarray:
    """Return the training rows of all cells; cells that differ only in their labels share rows."""
    parts, seen = [], set()
    for cell in cells:
        data = cell.config["sections"]["data"]
        key = repr(sorted(data.items(), key=lambda item: item[0])) + str(cell.seed)
        if key in seen:
            continue
        seen.add(key)
        if cell.stage == PRETRAINING:
            parts.append(pretraining_rows(index, data))
        else:
            parts.append(finetuning_rows(index, data))
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)
