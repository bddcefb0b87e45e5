"""The leakage audit of a plan: all rows that any of its cells is trained on, against the test's."""

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
    """What the cells' training rows share with the test rows, by stage.

    Raises:
        PlanError: nothing to score.
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
    """Sentences about weights whose training rows nobody here knows."""
    sentences = []
    index = HandIndex.open(plan.data["index"])
    for name, arm in plan.arms.items():
        if arm.weights is not None:
            record = find_backbone(arm.weights).record
            data = record.data
            if trained_on(record, index):
                continue
            told = "does not say" if data is None else f"says: {data.name}"
            sentences.append(
                f"Arm {name} ({arm.weights}) was trained elsewhere; which images, its card {told}. "
                "Whether they hold test images is not known here."
            )
        elif arm.init not in (None, "random"):
            sentences.append(
                f"Arm {name} starts from weights ({arm.init}) whose training images are not known "
                "here."
            )
    return sentences


def trained_on(record: WeightRecord, index: HandIndex) -> bool:
    """Whether a card says that its weights were trained on rows of this very index."""
    told = record.data is not None and record.data.details.get("index_fingerprint")
    return told == index.fingerprint and "data" in (record.config or {})


def _rows_of_stored_weights(plan: Plan, index: HandIndex) -> np.ndarray:
    """Union of the rows that the arms' stored weights were trained on, where their cards tell."""
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
    """Union of the training rows; cells that differ only in what they learn share theirs."""
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
