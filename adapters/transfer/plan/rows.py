"""Rows of the index that the cells of a plan train on and predict."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from adapters.pose.data import PoseDataSection
from adapters.transfer.plan.plan import Plan, PlanError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.splits.select import spread
from gesture_pretrain.pretraining.data_section import DataSection, GestureDataSection


def pretraining_rows(index: HandIndex, data: Mapping[str, Any]) -> np.ndarray:
    """Return the rows (N,) that a pretraining with this data section trains on."""
    return _training_rows(index, GestureDataSection, data)


def finetuning_rows(index: HandIndex, data: Mapping[str, Any]) -> np.ndarray:
    """Return the rows (N,) for fine-tuning with this data section; a target may leave some out."""
    return _training_rows(index, PoseDataSection, data)


def _training_rows(
    index: HandIndex, kind: type[DataSection], data: Mapping[str, Any]
) -> np.ndarray:
    try:
        return kind(**{"index": index.path, **data}).select(index).train
    except ValueError as error:
        raise PlanError(f"data: {error}") from error


def scored_rows(plan: Plan, index: HandIndex) -> np.ndarray:
    """Return the rows (N,) that the cells of a plan predict; a target may leave some out."""
    rows = index.select(split=plan.test.split, hands=plan.test.hands)
    if not len(rows):
        raise PlanError(
            f"no image of split '{plan.test.split}' with {' or '.join(plan.test.hands)} hands in "
            f"{index.root}: nothing to score. Check test.split, test.hands and test.index."
        )
    if plan.test.box_source == "rootnet" and "detected_bbox_xywh_px" not in index.columns:
        raise PlanError(
            f"test.box_source is 'rootnet', but {index.root} has no boxes of RootNet. Leave "
            "test.box_source out, or build an index that has them."
        )
    return spread(rows, plan.test.images)
