"""A tiny data set, and one tiny experiment that is run once for all tests that only look at it."""

from pathlib import Path
from typing import NamedTuple

import pytest
from toy_pose import register_toy, toy_plan, write_toy_index

from adapters.transfer.plan.cell import CellTable
from adapters.transfer.plan.cells import cells_of
from adapters.transfer.plan.file import plan_from
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.execution import run_plan

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
