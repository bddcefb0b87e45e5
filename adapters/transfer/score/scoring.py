"""Scores of the finished cells and the external systems of a plan, from their predictions files."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

import numpy as np

from adapters.pose.hand_models import HandModelSource
from adapters.transfer.plan.cell import FINETUNING, Cell, CellTable
from adapters.transfer.plan.plan import RANDOM, Plan
from adapters.transfer.plan.rows import scored_rows
from adapters.transfer.run.cell_folder import CellFolder
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.mean_pose import mean_training_pose
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.poses.protocol import find_protocols
from gesture_pretrain.evaluation.poses.score import Score, score_predictions
from gesture_pretrain.files import require_space, writing


@dataclass
class Scored:
    """Scores of a plan. A place is (target, arm, fraction, seed).

    Attributes:
        cells: Place -> protocol -> score.
        external: Name of an external system -> protocol -> score.
        refused: Place or name -> protocol -> reason why it cannot be applied.
        results: Place -> result of the cell.
        pretrainings: Place -> pretraining that the cell starts from; None for random weights.
        curves: Errors under the first protocol after the steps of the plan's curve and at the end:
            target, arm, fraction, seed, steps, error_mm.
    """

    cells: dict[tuple, dict[str, Score]] = field(default_factory=dict)
    external: dict[str, dict[str, Score]] = field(default_factory=dict)
    refused: dict[object, dict[str, str]] = field(default_factory=dict)
    results: dict[tuple, dict] = field(default_factory=dict)
    pretrainings: dict[tuple, str | None] = field(default_factory=dict)
    curves: list[dict] = field(default_factory=list)
    folder: TemporaryDirectory = field(default_factory=TemporaryDirectory)
    _info: list[dict] = field(default_factory=list)

    def require_space(self, scores: list[Score], cells: int) -> None:
        """Refuse to begin if the errors of all cells do not fit, given those of one.

        Raises:
            DiskFull: There is too little space for temporary files.
        """
        of_one = sum(s.errors.joint_mm.nbytes + s.errors.vertex_mm.nbytes for s in scores)
        require_space(self.folder.name, cells * of_one)

    def spilled(self, score: Score) -> Score:
        """Return a score with its errors memory-mapped, so that many cells fit into memory.

        All cells of a plan score the same hands, whose description is kept once.
        """
        return replace(
            score,
            errors=replace(
                score.errors,
                joint_mm=self._on_disk(score.errors.joint_mm),
                vertex_mm=self._on_disk(score.errors.vertex_mm),
            ),
            info=self._shared(score.info),
        )

    def _on_disk(self, values: np.ndarray) -> np.ndarray:
        with NamedTemporaryFile(dir=self.folder.name, suffix=".npy", delete=False) as file:
            with writing(Path(file.name), values.nbytes):
                np.save(file, values)
        return np.load(file.name, mmap_mode="r")

    def _shared(self, info: dict) -> dict:
        for known in self._info:
            if all(np.array_equal(known[name], values) for name, values in info.items()):
                return known
        self._info.append(info)
        return info


def place_of(cell: Cell) -> tuple:
    """Return (target, arm, fraction, seed) of a fine-tuning cell."""
    return cell.target, cell.arm, cell.fraction, cell.seed


def pretraining_of(cell: Cell) -> str | None:
    """Return what identifies the pretraining of a fine-tuning cell; None for random weights.

    Runs that start from the same stored or published weights share one pretraining.
    """
    weights = cell.config["weights"]
    start = cell.needs or weights.get("stored") or weights["init"]
    return None if start == RANDOM else start


def truth_reader(plan: Plan) -> GroundTruthReader:
    """Return the reader of the test index, with the hand models that the plan is trained with."""
    index = HandIndex.open(plan.test.index or plan.data["index"])
    source = HandModelSource(**plan.finetuning.get("hand_model", {}))
    return GroundTruthReader(index, hand_models=source.load())


def score_plan(plan: Plan, table: CellTable, out: Path, reader: GroundTruthReader) -> Scored:
    """Score every cell whose predictions are present and intact.

    Raises:
        FileNotFoundError: An external file is missing.
        PredictionError: An external file is damaged or belongs to other data.
        DiskFull: There is too little space for temporary files.
    """
    protocols = find_protocols(list(plan.protocols))
    found = Scored()
    folders = [CellFolder(out, cell) for cell in table.cells if cell.stage == FINETUNING]
    finished = [folder for folder in folders if folder.result() is not None]
    for folder in finished:
        cell, result = folder.cell, folder.result(verify=True)
        if result is None:
            continue
        place = place_of(cell)
        predictions = PosePredictions.load(folder.predictions)
        scores, found.refused[place] = score_predictions(predictions, reader, protocols)
        if not found.cells:
            found.require_space(scores, len(finished))
        found.cells[place] = {s.protocol.name: found.spilled(s) for s in scores}
        found.results[place] = result
        found.pretrainings[place] = pretraining_of(cell)
        found.curves += _curve(plan, cell, folder, found.cells[place], reader)
    rows = scored_rows(plan, reader.index)
    for system in plan.external:
        predictions = PosePredictions.load(system.path)
        scores, found.refused[system.name] = score_predictions(
            predictions, reader, protocols, rows=rows, allow_missing=True
        )
        found.external[system.name] = {score.protocol.name: score for score in scores}
    return found


def _curve(
    plan: Plan, cell: Cell, folder: CellFolder, end: Mapping[str, Score], reader: GroundTruthReader
) -> list[dict]:
    """Score the points of the plan's curve."""
    tested = plan.protocols[0]
    if not plan.curve or tested not in end:
        return []
    errors = {}
    for steps in plan.curve:
        predictions = PosePredictions.load(folder.curve_point(steps))
        (score,), _ = score_predictions(predictions, reader, find_protocols([tested]))
        errors[steps] = score.averages.mpjpe_mm["single"]
    errors[cell.iterations] = end[tested].averages.mpjpe_mm["single"]
    place = dict(zip(("target", "arm", "fraction", "seed"), place_of(cell), strict=True))
    return [{**place, "steps": steps, "error_mm": error} for steps, error in errors.items()]


def mean_pose_errors(
    plan: Plan, reader: GroundTruthReader, train_rows: np.ndarray
) -> dict[str, float]:
    """Return the MPJPE of the mean training pose by protocol, without protocols that need meshes.

    Args:
        plan: The plan.
        reader: Ground-truth reader of the test index.
        train_rows: Rows of the plan's own index with the pose labels that are trained on.
    """
    index = HandIndex.open(plan.data["index"])
    pose = mean_training_pose(GroundTruthReader(index), train_rows)
    if pose is None or np.isnan(pose.joints_rel_mm).any():
        return {}
    predictions = pose.predictions(
        reader,
        *reader.hands_of(scored_rows(plan, reader.index)),
        box_source=plan.test.box_source or "annotation",
    )
    scores, _ = score_predictions(predictions, reader, find_protocols(list(plan.protocols)))
    return {score.protocol.name: score.averages.mpjpe_mm["single"] for score in scores}


def on_shared_hands(scores: list[Score]) -> list[Score]:
    """Restrict scores to the hands that all of them have, in one order; `averages` stay."""
    keys = [2 * score.info["rows"] + score.info["hand"] for score in scores]
    shared = reduce(np.intersect1d, keys)
    return [_taken(score, key, shared) for score, key in zip(scores, keys, strict=True)]


def _taken(score: Score, keys: np.ndarray, wanted: np.ndarray) -> Score:
    order = np.argsort(keys)
    positions = order[np.searchsorted(keys[order], wanted)]
    errors = replace(
        score.errors,
        joint_mm=score.errors.joint_mm[positions],
        vertex_mm=score.errors.vertex_mm[positions],
    )
    info = {name: values[positions] for name, values in score.info.items()}
    return replace(score, errors=errors, info=info)
