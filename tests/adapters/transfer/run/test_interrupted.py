"""Killed at random moments, or run by two plans at once, the experiment ends in the same bits."""

import glob
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toy_pose import toy_plan

from adapters.transfer.report.build import write_report
from adapters.transfer.run.cell_folder import CellFolder

HELPERS = Path(__file__).parents[3] / "helpers"


def test_sigterm_to_the_command_ends_its_workers(toy_index, tmp_path, repo_root):
    """The workers of a study went on without their parent, each with its next cell."""
    values = toy_plan(toy_index, targets={"tf": {"target": "token_fusion"}})
    values["pretraining"]["schedule"]["iterations"] = 1_000_000
    plan, out = tmp_path / "endless.py", tmp_path / "out"
    plan.write_text("\n".join(f"{key} = {value!r}" for key, value in values.items()))
    command = [sys.executable, str(repo_root / "tools/transfer_experiment.py"), str(plan), "run"]
    study = subprocess.Popen(
        [*command, "--out", str(out), "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        workers = started_workers(study, out, count=2)
        study.send_signal(signal.SIGTERM)
        message = study.communicate(timeout=120)[1]
    finally:
        study.kill()
    assert study.returncode == 3 and "The same command continues" in message
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert not list(out.rglob("failure.json"))


def started_workers(study: subprocess.Popen, out: Path, *, count: int) -> list[str]:
    """Return the process ids of the workers once `count` cells train."""

    def training() -> bool:
        assert study.poll() is None, study.stderr.read()
        # glob.glob and not Path.glob: folders vanish while it looks
        found = glob.glob(str(out / "**" / "iteration_*.json"), recursive=True)
        return len({Path(file).parent for file in found}) == count

    wait_until(training)
    children = Path(f"/proc/{study.pid}/task/{study.pid}/children").read_text().split()
    return [c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def wait_until(condition, *, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.05)


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
