"""Killed at random moments, or run by two plans at once, the experiment ends in the same bits."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adapters.transfer.report.build import write_report
from adapters.transfer.run.cell_folder import CellFolder

HELPERS = Path(__file__).parents[3] / "helpers"


@pytest.fixture(scope="module")
def driven(toy_index, tmp_path_factory, repo_root) -> Path:
    folder = tmp_path_factory.mktemp("driven")
    done = subprocess.run(
        [sys.executable, str(HELPERS / "experiment_driver.py"), str(toy_index), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(repo_root), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(re.search(r"kills (\d+)", done.stdout)[1]) == 3
    return folder


def cells_in(finished, name) -> list:
    """The two plans at once have the first seed only."""
    return [c for c in finished.table.cells if name == "killed" or c.seed == 0]


@pytest.mark.parametrize("name", ["killed", "shared"])
def test_predictions_are_those_of_the_uninterrupted_run(finished, driven, name):
    for cell in cells_in(finished, name):
        if cell.target is None:
            continue
        whole, other = (CellFolder(out, cell) for out in (finished.out, driven / name))
        assert other.result(verify=True) is not None
        with np.load(whole.predictions) as a, np.load(other.predictions) as b:
            assert a.files == b.files
            assert all(np.array_equal(a[key], b[key]) for key in a.files), cell.label


def test_tables_are_the_same_to_the_letter(finished, driven):
    pages = [
        write_report(finished.plan, finished.table, out).parent
        for out in (finished.out, driven / "killed")
    ]
    for file in ("table.csv", "comparisons.csv", "table.tex", "comparisons.json"):
        assert (pages[0] / file).read_bytes() == (pages[1] / file).read_bytes()


def test_two_plans_at_once_run_every_shared_cell_once(finished, driven):
    for cell in cells_in(finished, "shared"):
        record = json.loads((CellFolder(driven / "shared", cell).run / "run.json").read_text())
        assert len(record["starts"]) == 1, cell.label


def test_some_killed_cell_was_resumed_and_not_begun_again(finished, driven):
    results = [CellFolder(driven / "killed", cell).result() for cell in finished.table.cells]
    starts = [
        len(json.loads((CellFolder(driven / "killed", c).run / "run.json").read_text())["starts"])
        for c in finished.table.cells
    ]
    assert any(result["resumed"] for result in results) and max(starts) >= 2
