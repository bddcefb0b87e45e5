"""Gestures that the pretraining of each arm had."""

from typing import NamedTuple

import numpy as np

from adapters.transfer.plan.audit import stored_pretrainings
from adapters.transfer.plan.cell import PRETRAINING, CellTable
from adapters.transfer.plan.plan import Plan
from adapters.transfer.plan.rows import pretraining_rows
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.pretraining.labels import load_taxonomy


class Exposure(NamedTuple):
    """Labels of an index, as a pretraining knows them.

    Attributes:
        seen: Labels of the images that it was trained on.
        gestures: All labels with a gesture class. Images of other labels show no gesture.
    """

    seen: frozenset[str]
    gestures: frozenset[str]


def exposure_of_arms(plan: Plan, table: CellTable) -> dict[str, Exposure]:
    """Return the exposure of each arm whose pretraining images are known."""
    index = HandIndex.open(plan.data["index"])
    gestures = _gestures(plan, index)
    sections = {
        cell.arm: cell.config["sections"]["data"]
        for cell in table.cells
        if cell.stage == PRETRAINING
    }
    sections |= stored_pretrainings(plan, index)
    return {
        arm: Exposure(frozenset(_labels(index, pretraining_rows(index, data))), gestures)
        for arm, data in sections.items()
    }


def _labels(index: HandIndex, rows: np.ndarray) -> list[str]:
    return [index.labels[code] for code in np.unique(index.values("sequence", rows))]


def _gestures(plan: Plan, index: HandIndex) -> frozenset[str]:
    test = index if plan.test.index is None else HandIndex.open(plan.test.index)
    taxonomy = load_taxonomy(plan.data.get("taxonomy", "interhand26m"), None, 0, index)
    return frozenset({*index.labels, *test.labels} & taxonomy.coarse_of.keys())
