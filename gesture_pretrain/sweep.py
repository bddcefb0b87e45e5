"""Hyper-parameter sweeps: one training run per combination of values, and one table.

Runs that differ only in `seed` belong to one setting. Differences between settings are paired by
seed, because runs of one seed share the order of the images and the initial weights.
"""

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.plain_data import plain_data
from gesture_pretrain.processes import launched_by_torchrun
from gesture_pretrain.tables import text_table
from gesture_pretrain.training.stopped import NonFiniteLoss

RESULT_FILE = "result.json"
SEED = "seed"


@dataclass(frozen=True)
class SweepRun:
    """A finished run of a sweep.

    Attributes:
        values: Value of each swept key, as text.
        scores: Scores of the last validation by name; empty if the loss became NaN or infinite.
        folder: Run folder.
    """

    values: Mapping[str, str]
    scores: Mapping[str, float]
    folder: Path

    @property
    def setting(self) -> str:
        """Return the swept values except the seed."""
        return _joined({key: value for key, value in self.values.items() if key != SEED})


def sweep(
    train: Callable[..., Any],
    resolve: Callable[[list[str]], Mapping[str, Any]],
    grid: Mapping[str, Sequence[Any]],
    *,
    out: str | Path,
    overrides: Sequence[str] = (),
) -> list[SweepRun]:
    """Train once for every combination of values.

    Called again with the same folder, it repeats no finished run and resumes an interrupted one.

    Args:
        train: Function `train(out=, overrides=, resume=)` that trains in a folder with changes to a
            config and returns an object with `metrics`, such as `pretrain` with a config.
        resolve: Function that returns the resolved config for a list of changes, or raises
            ValueError.
        grid: Values by dotted key of the config, for example
            `{"optimizer.lr": [1e-4, 3e-4], "seed": [0, 1]}`.
        out: Folder of the runs.
        overrides: Changes to the config of all runs, each `section.key=value`.

    Raises:
        ValueError: A key or value is wrong, before any run starts; a run in `out` has another
            config; or several processes were started.
        TrainingStopped: A run was interrupted.
    """
    if launched_by_torchrun():
        raise ValueError("A sweep is one process. Start it without torchrun.")
    texts = [[str(value) for value in values] for values in grid.values()]
    jobs = [dict(zip(grid, values, strict=True)) for values in itertools.product(*texts)]
    changes = [[*overrides, *(f"{k}={v}" for k, v in job.items())] for job in jobs]
    configs = [plain_data(resolve(change), "config") for change in changes]
    runs = []
    for number, (job, change, config) in enumerate(zip(jobs, changes, configs, strict=True), 1):
        folder = Path(out) / re.sub(r"[^\w.,=-]+", "_", _joined(job))
        scores = _stored_scores(folder, config)
        if scores is None:
            print(f"Run {number} of {len(jobs)}: {_joined(job)}")
            scores = _trained(train, folder, change)
            result = json.dumps({"config": config, "scores": scores}, indent=1)
            write_bytes_atomically(folder / RESULT_FILE, result.encode())
        runs.append(SweepRun(job, scores, folder))
    return runs


def _trained(train: Callable[..., Any], folder: Path, overrides: list[str]) -> dict[str, float]:
    try:
        return dict(train(out=folder, overrides=overrides, resume=True).metrics)
    except NonFiniteLoss as error:
        print(f"No scores for {folder.name}: {error}")
        return {}


def _stored_scores(folder: Path, config: Mapping[str, Any]) -> dict[str, float] | None:
    """Read the scores of a finished run; None if it is not finished."""
    path = folder / RESULT_FILE
    if not path.is_file():
        return None
    stored = json.loads(path.read_text())
    if stored["config"] != json.loads(json.dumps(config)):
        raise ValueError(f"{path} belongs to a run with another config. Choose another folder.")
    return stored["scores"]


def sweep_table(runs: Sequence[SweepRun]) -> str:
    """Format mean scores per setting, and paired differences to the first setting.

    A difference is the mean over the seeds that both settings have, followed by its standard error
    if there are two or more.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.scores))
    settings = list(dict.fromkeys(run.setting for run in runs))
    rows = []
    for setting in settings:
        cells = [_cell(runs, settings[0], setting, name) for name in names]
        count = sum(run.setting == setting and bool(run.scores) for run in runs)
        rows.append([setting or "config", str(count), *cells])
    return text_table(("setting", "seeds", *names), rows)


def _cell(runs: Sequence[SweepRun], first: str, setting: str, name: str) -> str:
    reference, own = (
        {r.values.get(SEED): r.scores[name] for r in runs if r.setting == s and name in r.scores}
        for s in (first, setting)
    )
    if not own:
        return "-"
    text = f"{np.mean(list(own.values())):.4g}"
    shared = [own[seed] - reference[seed] for seed in own if seed in reference]
    if setting == first or not shared:
        return text
    error = ""
    if len(shared) > 1:
        error = f" ± {np.std(shared, ddof=1) / len(shared) ** 0.5:.2g}"
    return f"{text} ({np.mean(shared):+.3g}{error})"


def _joined(values: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in values.items())
