"""Evaluate predictions files of this toolkit and of other systems under the same protocols."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

import gesture_pretrain
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.external.fit_check import fit_distance_mm
from gesture_pretrain.evaluation.external.predictions import read_external_predictions
from gesture_pretrain.evaluation.poses.error_file import save_hand_errors
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.mean_pose import mean_training_pose
from gesture_pretrain.evaluation.poses.predictions import PosePredictions, PredictionError
from gesture_pretrain.evaluation.poses.protocol import Protocol, find_protocols
from gesture_pretrain.evaluation.poses.score import Score, score_predictions
from gesture_pretrain.files.npz_file import read_npz
from gesture_pretrain.hand.model import HandModel, load_hand_model
from gesture_pretrain.taxonomy import Taxonomy

HAND_KINDS = {
    "single": ("right", "left"),
    "interacting": ("interacting",),
    "all": ("right", "left", "interacting"),
}


@dataclass(frozen=True)
class PoseEvaluation:
    """Scores of S systems under P protocols; `report.score_table.ScoreTable` shows them.

    Attributes:
        scores: At most one per system and protocol.
        refused: System -> protocol -> why it could not be applied.
        facts: Name -> text: data, versions, command.
        mean_pose_mm: Protocol -> MPJPE of the mean training pose; see `poses.mean_pose`. Empty
            without labels of a training split.
    """

    scores: Sequence[Score]
    refused: Mapping[str, Mapping[str, str]]
    facts: Mapping[str, str]
    mean_pose_mm: Mapping[str, float]


def evaluate_predictions(
    files: Sequence[str | Path],
    *,
    data: str | Path,
    protocols: Sequence[str] = ("all",),
    out: str | Path,
    split: str | None = None,
    hands: str = "single",
    mano: str | None = None,
    taxonomy: str = "interhand26m",
    joint_order: str | None = None,
    unit: str | None = None,
    box_source: str | None = None,
    allow_missing: bool = False,
    check_skeleton: bool = True,
    command: str = "",
) -> PoseEvaluation:
    """Score predictions files, and store the errors of each hand as `SYSTEM.errors.npz`.

    Args:
        files: Paths, or NAME=PATH to name a system; files of `PosePredictions.save`, or of other
            systems (see `external.predictions`).
        data: Index of the predicted images, or dataset that contains one.
        protocols: Names of protocols, or "all".
        out: Folder of the error files.
        split: Split to evaluate. Default: the images that each file predicts.
        hands: With `split`, which of its images: "single", "interacting" or "all".
        mano: Hand models: None to look in the documented places, "open", or a MANO file or folder;
            "none" to do without, which leaves out the protocols that need fits.
        taxonomy: Gestures of the tables in scores.json.
        joint_order, unit, box_source: For files of other systems that do not state them.
        allow_missing: Score although hands have no prediction; they are counted in the table.
        check_skeleton: See `read_external_predictions`.
        command: Command line to record.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file cannot be used, is given twice, or has the system name of another one.
        MissingManoFile: No hand model where one is needed.
    """
    named = _named_files(files)
    require_distinct_systems(named)
    chosen = find_protocols(list(protocols))
    index = HandIndex.open(data)
    models = load_hand_models(
        mano, fits_needed=any(p.missing_fit != "no fit is used" for p in chosen)
    )
    reader = GroundTruthReader(index, hand_models=models, taxonomy=Taxonomy.load(taxonomy))
    rows = None if split is None else _expected_rows(index, split, hands)
    fit_mm = fit_distance_mm(reader, index.select(split=split) if rows is None else rows)
    scores: list[Score] = []
    refused: dict[str, Mapping[str, str]] = {}
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for system, path in named:
        predictions = read_predictions(
            path,
            index,
            system=system,
            joint_order=joint_order,
            unit=unit,
            split=split,
            box_source=box_source,
            hand_models=models,
            check_skeleton=check_skeleton,
        )
        found, refused[predictions.system] = score_predictions(
            predictions, reader, chosen, rows=rows, allow_missing=allow_missing, progress=True
        )
        if found:
            save_hand_errors(out / f"{_file_name(predictions.system)}.errors.npz", found)
        scores += found
    facts = _facts(index, models, fit_mm, command)
    return PoseEvaluation(scores, refused, facts, _mean_pose_mm(reader, chosen, scores))


def read_predictions(
    path: Path | str, index: HandIndex, *, system: str | None = None, **external
) -> PosePredictions:
    """Read a predictions file of this toolkit or of another system.

    Args:
        path: An .npz file.
        index: The data that was predicted.
        system: Name in tables instead of the file's.
        external: Arguments of `read_external_predictions`.
    """
    is_ours = bool(read_npz(Path(path), PredictionError, names=["index_fingerprint"]))
    if not is_ours:
        return read_external_predictions(path, index, system=system, **external)
    predictions = PosePredictions.load(path)
    return predictions if system is None else replace(predictions, system=system)


def require_distinct_systems(named: Sequence[tuple[str | None, Path]]) -> None:
    """Refuse two files of one system, or of systems whose files of errors would have one name.

    Only the names of the systems are read.

    Args:
        named: System name (None: the file's own) and path of each file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Names the two files.
    """
    taken: dict[str, Path] = {}
    for name, path in named:
        system = stated_system(path) if name is None else name
        for other in taken.values():
            if path.samefile(other):
                raise ValueError(f"{path} is given twice, also as {other}. Give it once.")
        other = taken.setdefault(_file_name(system), path)
        if other is not path:
            raise ValueError(
                f"{other} and {path} are both of a system called '{system}', or their names differ "
                f"in special characters only. Give one of them another name: NAME={path}"
            )


def stated_system(path: Path) -> str:
    """Return the system name stated in a predictions file, else its base name."""
    stated = read_npz(path, PredictionError, names=["system"])
    return str(stated.get("system", path.stem))


def load_hand_models(mano: str | None, *, fits_needed: bool) -> dict[str, HandModel] | None:
    """Load both hand models; None if they are not required, or `mano` is "none"."""
    if mano == "none" or not fits_needed:
        return None
    return {side: load_hand_model(side, mano) for side in ("right", "left")}


def _named_files(files: Sequence[str | Path]) -> list[tuple[str | None, Path]]:
    """Split each entry into system name (None: the file's own) and path."""
    parts = [str(text).partition("=") for text in files]
    return [(name, Path(path)) if equals else (None, Path(name)) for name, equals, path in parts]


def _expected_rows(index: HandIndex, split: str, hands: str) -> np.ndarray:
    if hands not in HAND_KINDS:
        raise ValueError(f"hands is {hands!r}; choose {', '.join(HAND_KINDS)}")
    rows = index.select(split=split, hands=HAND_KINDS[hands])
    if len(rows) == 0:
        raise ValueError(f"split '{split}' of {index.path} has no image of {hands} hands")
    return rows


def _facts(index: HandIndex, models, fit_mm: float | None, command: str) -> dict[str, str]:
    facts = {
        "data": f"{index.meta['data_name']}, index {index.fingerprint[:12]}",
        "versions": f"gesture-pretrain {gesture_pretrain.__version__}, Python "
        f"{sys.version.split()[0]}, numpy {version('numpy')}, scipy {version('scipy')}",
        "hand models": "none" if models is None else f"tips '{models['right'].tip_convention}'",
    }
    if fit_mm is not None:
        facts["fits from annotated joints"] = f"{fit_mm:.1f} mm (median, about the wrist)"
    return {**facts, "command": command} if command else facts


def _mean_pose_mm(
    reader: GroundTruthReader, protocols: Sequence[Protocol], scores: Sequence[Score]
) -> dict[str, float]:
    """Compute MPJPE of the mean training pose on the scored hands, by protocol."""
    train_rows = reader.index.select(split="train", hands=HAND_KINDS["single"])
    pose = mean_training_pose(reader, train_rows) if len(train_rows) and scores else None
    if pose is None or np.isnan(pose.joints_rel_mm).any():
        return {}
    keys = np.unique(np.concatenate([2 * s.info["rows"] + s.info["hand"] for s in scores]))
    predictions = pose.predictions(reader, keys // 2, keys % 2)
    found, _ = score_predictions(predictions, reader, protocols, allow_missing=True)
    return {score.protocol.name: score.averages.mpjpe_mm["all"] for score in found}


def _file_name(system: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", system)
