"""Leakage audit of a plan: the training rows of all its cells against the test rows."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from adapters.transfer.plan.cell import FINETUNING, PRETRAINING, Cell, CellTable, config_key
from adapters.transfer.plan.initial_weights import stored_records
from adapters.transfer.plan.plan import Plan
from adapters.transfer.plan.rows import finetuning_rows, pretraining_rows, scored_rows
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.leakage import LeakageAudit, audit_leakage


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
            for data in stored_pretrainings(plan, index).values():
                rows = np.union1d(rows, pretraining_rows(index, data))
        if len(rows):
            audits[stage] = audit_leakage(
                index, rows, test_index, tested, by_content=plan.leakage_by_content
            )
    return audits


def not_audited(plan: Plan) -> list[str]:
    """Return sentences about the arms whose weights have unknown training images."""
    sentences = [
        f"Arm {name} starts from weights ({arm.init}) whose training images are unknown."
        for name, arm in plan.arms.items()
        if arm.weights is None and arm.init not in (None, "random")
    ]
    known = stored_pretrainings(plan, HandIndex.open(plan.data["index"]))
    for name, record in stored_records(plan).items():
        if name not in known:
            data = "no data" if record.data is None else f"the data {record.data.name}"
            sentences.append(
                f"Arm {name} ({record.name}) was trained elsewhere. Its card names {data}. "
                "Whether test images are among them is unknown."
            )
    return sentences


def stored_pretrainings(plan: Plan, index: HandIndex) -> dict[str, Mapping[str, Any]]:
    """Return arm -> section `data` of the stored weights that were pretrained on this index.

    Their cards state the fingerprint of the index.
    """
    found = {}
    for name, record in stored_records(plan).items():
        stated = record.data is not None and record.data.details.get("index_fingerprint")
        if stated == index.fingerprint and "data" in (record.config or {}):
            found[name] = record.config["data"]
    return found


def _all_rows(index: HandIndex, cells: Iterable[Cell]) -> np.ndarray:
    """Return the training rows of all cells of one stage."""
    # many cells share one section, so that its rows are selected once
    sections = {config_key(c.config["sections"]["data"]): c for c in cells}
    rows = np.empty(0, np.int64)
    for cell in sections.values():
        rows_of = pretraining_rows if cell.stage == PRETRAINING else finetuning_rows
        rows = np.union1d(rows, rows_of(index, cell.config["sections"]["data"]))
    return rows
