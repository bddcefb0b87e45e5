"""A tiny data set, and one tiny experiment that is run once for all tests that only look at it."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # toy_pose, for importmode=importlib

from toy_pose import register_toy, toy_plan, write_toy_index  # noqa: E402

from adapters.experiment.cells import CellTable, cells_of  # noqa: E402
from adapters.experiment.execution import run_plan  # noqa: E402
from adapters.experiment.plan import Plan  # noqa: E402
from adapters.experiment.plan_file import plan_from  # noqa: E402

register_toy()


class Experiment(NamedTuple):
    plan: Plan
    table: CellTable
    out: Path
    said: list[str]


@pytest.fixture(scope="session")
def toy_index(tmp_path_factory) -> Path:
    return write_toy_index(tmp_path_factory.mktemp("experiment_data") / "data")


@pytest.fixture(scope="session")
def finished(toy_index, tmp_path_factory) -> Experiment:
    plan = plan_from(toy_plan(toy_index))
    out, said = tmp_path_factory.mktemp("experiment") / "out", []
    result = run_plan(plan, out, workers=1, say=said.append)
    assert result.is_complete, result
    return Experiment(plan, cells_of(plan), out, said)


@pytest.fixture
def toy(toy_index, tmp_path) -> Experiment:
    """The same experiment before anything has run."""
    plan = plan_from(toy_plan(toy_index))
    return Experiment(plan, cells_of(plan), tmp_path / "out", [])
