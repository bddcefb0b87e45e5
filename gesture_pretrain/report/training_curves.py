"""Training curves from the `metrics.jsonl` of a run folder."""

import json
from pathlib import Path

import numpy as np

PANELS = (("Losses", "loss"), ("Top-1", "top1"))


def read_training_curves(run_folder: Path | str) -> dict:
    """Read the curves of a run, grouped into panels.

    Args:
        run_folder: Folder with `metrics.jsonl`, which has one JSON object per line, with
            `iteration` and named values.

    Returns:
        Panel title -> curve name -> (iterations (N,), values (N,)); see `figures.curve_figure`.

    Raises:
        FileNotFoundError: There is no metrics.jsonl.
        ValueError: A line is not a JSON object with an iteration.
    """
    path = Path(run_folder) / "metrics.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"{run_folder} has no metrics.jsonl, so it is not a run folder. Pass the folder of a "
            "pretraining run, or none."
        )
    series: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for name, value in _values(line, f"{path} line {number}"):
            series.setdefault(name, []).append(value)
    panels = {
        title: {name: _arrays(points) for name, points in series.items() if word in name}
        for title, word in PANELS
    }
    return {title: curves for title, curves in panels.items() if curves}


def _values(line: str, where: str) -> list[tuple[str, tuple[float, float]]]:
    try:
        values = json.loads(line)
        iteration = values.pop("iteration")
    except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
        message = f"{where} is not a JSON object with an iteration: {line[:80]!r}"
        raise ValueError(message) from error
    return [
        (name, (iteration, value))
        for name, value in values.items()
        if isinstance(value, int | float)
    ]


def _arrays(points: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.array(points, dtype=float).T
    return x, y
