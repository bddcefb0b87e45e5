"""Reading of other systems' prediction files, without interpreting their content."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gesture_pretrain.evaluation.poses.predictions import PredictionError
from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.files.npz_file import read_npz

KEYS = ("row", "annotation_id", "image")
_PER_HAND = (*KEYS, "hand", "joints", "vertices")
_LARGEST_JSON_BYTES = 1 << 31
_PER_FILE = ("system", "joint_order", "joint_names", "unit", "box_source")


@dataclass(frozen=True)
class ExternalFile:
    """Content of a file: columns (one entry per hand) by name, and values given once per file."""

    columns: dict[str, np.ndarray]
    stated: dict[str, object]


def read_external_file(path: Path) -> ExternalFile:
    """Read an .npz or .json file; see `external.predictions` for the format.

    Raises:
        FileNotFoundError: The file does not exist.
        PredictionError: The file has another format, unknown names, or columns of different length.
    """
    if path.suffix == ".npz":
        content = _read_npz(path)
    elif path.suffix == ".json":
        content = _read_json(path)
    else:
        raise PredictionError(f"{path}: predictions are .npz or .json files")
    if not {"joints", "vertices"} & content.columns.keys():
        raise PredictionError(f"{path} has neither joints nor vertices")
    if scalars := [name for name, column in content.columns.items() if not column.ndim]:
        raise PredictionError(f"{path}: {', '.join(scalars)} has no entry per hand")
    counts = {name: len(column) for name, column in content.columns.items()}
    if len(set(counts.values())) != 1:
        raise PredictionError(f"{path}: columns differ in length: {counts}")
    for name, value in content.stated.items():
        _require_text(name, value, path)
    return content


def _require_text(name: str, value: object, path: Path) -> None:
    expected = "a list of texts" if name == "joint_names" else "a text"
    texts = value if name == "joint_names" and isinstance(value, list) else [value]
    if value is not None and not all(isinstance(text, str) for text in texts):
        raise PredictionError(f"{path}: {name} must be {expected}, got {str(value)[:60]}")


def _read_npz(path: Path) -> ExternalFile:
    found = read_npz(path, PredictionError)
    _refuse_unknown(found, path)
    stated = {name: found[name].tolist() for name in _PER_FILE if name in found}
    return ExternalFile({name: found[name] for name in _PER_HAND if name in found}, stated)


def _read_json(path: Path) -> ExternalFile:
    found = read_json(path, PredictionError, largest_bytes=_LARGEST_JSON_BYTES)
    hands = found.pop("predictions", None) if isinstance(found, dict) else None
    if not isinstance(hands, list) or not all(isinstance(entry, dict) for entry in hands):
        raise PredictionError(f"{path} is not a JSON object with a list 'predictions' of objects")
    _refuse_unknown(found, path)
    names = dict.fromkeys(name for entry in hands for name in entry)
    _refuse_unknown(names, path)
    partial = [name for name in names if any(name not in entry for entry in hands)]
    if partial:
        raise PredictionError(f"{path}: {', '.join(partial)} is absent from some predictions")
    try:
        columns = {name: np.array([entry[name] for entry in hands]) for name in names}
    except (ValueError, OverflowError) as error:
        raise PredictionError(f"{path}: predictions differ in shape ({error})") from None
    return ExternalFile(columns, found)


def _refuse_unknown(names, path: Path) -> None:
    unknown = sorted(set(names) - {*_PER_HAND, *_PER_FILE})
    if unknown:
        raise PredictionError(
            f"{path} has unknown names {', '.join(map(repr, unknown))}. Allowed per hand: "
            f"{', '.join(_PER_HAND)}; per file: {', '.join(_PER_FILE)}"
        )
