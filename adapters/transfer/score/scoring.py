"""Scores of the finished cells and the external systems of a plan, from their predictions files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from adapters.pose.hand_models import HandModelSource
from adapters.transfer.plan.cells import FINETUNING, Cell, CellTable, scored_rows
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.cell_folder import CellFolder
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.poses.protocol import find_protocols
from gesture_pretrain.evaluation.poses.score import Score, score_predictions


@dataclass
class Scored:
    """Scores by where they stand in the plan.

    Attributes:
        cells: (target, arm, fraction, seed) -> protocol -> score.
        external: name -> protocol -> score.
        refused: the same keys -> protocol -> why it cannot be applied.
        results: the same keys -> what the cell noted.
    """

    cells: dict[tuple, dict[str, Score]] = field(default_factory=dict)
    external: dict[str, dict[str, Score]] = field(default_factory=dict)
    refused: dict[object, dict[str, str]] = field(default_factory=dict)
    results: dict[tuple, dict] = field(default_factory=dict)


def place_of(cell: Cell) -> tuple:
    """Where a fine-tuning cell stands: (target, arm, fraction, seed)."""
    return cell.target, cell.arm, cell.fraction, cell.seed


def truth_reader(plan: Plan) -> GroundTruthReader:
    """Truth of the test index, with the hand models that the plan is trained with."""
    index = HandIndex.open(plan.test.index or plan.data["index"])
    source = HandModelSource(**plan.finetuning.get("hand_model", {}))
    return GroundTruthReader(index, hand_models=source.load())


def score_plan(plan: Plan, table: CellTable, out: Path, reader: GroundTruthReader) -> Scored:
    """Scores everything whose predictions are there and whole.

    Raises:
        PredictionError: an external file is damaged or of other data.
        FileNotFoundError: an external file is not there.
    """
    protocols = find_protocols(list(plan.protocols))
    found = Scored()
    for cell in table.cells:
        folder = CellFolder(out, cell)
        result = folder.result(verify=True) if cell.stage == FINETUNING else None
        if result is None:
            continue
        place = place_of(cell)
        predictions = PosePredictions.load(folder.predictions)
        scores, found.refused[place] = score_predictions(predictions, reader, protocols)
        found.cells[place] = {score.protocol.name: score for score in scores}
        found.results[place] = result
    rows = scored_rows(plan, reader.index)
    for system in plan.external:
        predictions = PosePredictions.load(system.path)
        scores, found.refused[system.name] = score_predictions(
            predictions, reader, protocols, rows=rows, allow_missing=True
        )
        found.external[system.name] = {score.protocol.name: score for score in scores}
    return found


def on_shared_hands(scores: Mapping[str, Score] | list[Score]) -> list[Score]:
    """The same scores on the hands that all of them have, in one order; means are not remade."""
    listed = list(scores)
    keys = [2 * score.info["rows"] + score.info["hand"] for score in listed]
    shared = keys[0]
    for key in keys[1:]:
        shared = np.intersect1d(shared, key)
    return [_taken(score, key, shared) for score, key in zip(listed, keys, strict=True)]


def _taken(score: Score, keys: np.ndarray, wanted: np.ndarray) -> Score:
    from dataclasses import replace

    order = np.argsort(keys)
    positions = order[np.searchsorted(keys[order], wanted)]
    errors = replace(
        score.errors,
        joint_mm=score.errors.joint_mm[positions],
        vertex_mm=score.errors.vertex_mm[positions],
    )
    info = {name: values[positions] for name, values in score.info.items()}
    return replace(score, errors=errors, info=info)
