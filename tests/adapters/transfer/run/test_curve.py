"""Curves of one run, and learning rates chosen on validation images."""

import json

import numpy as np
import pytest
from fake_stage import FakeStage
from toy_pose import toy_plan

from adapters.transfer.plan.audit import audit_plan
from adapters.transfer.plan.cell import FINETUNING, SELECTION
from adapters.transfer.plan.cells import cells_of
from adapters.transfer.plan.file import plan_from
from adapters.transfer.run.cell_folder import CellFolder
from adapters.transfer.run.execution import outcome, run_plan, work
from adapters.transfer.score.record import learning_rate_lines
from gesture_pretrain.evaluation.poses.predictions import PosePredictions

RANDOM_ONLY = {"arms": {"random": {"init": "random"}}, "comparisons": [], "seeds": [0]}


def run(values, out):
    plan = plan_from(values)
    result = run_plan(plan, out, workers=1, say=str)
    assert result.is_complete, result
    return plan, cells_of(plan)


def constant(values, iterations):
    schedule = {"iterations": iterations, "warmup_iterations": 1, "final_lr_ratio": 1}
    training = {**values["finetuning"]["training"], "ema_decay": 0.9}
    return values["finetuning"] | {"schedule": schedule, "training": training}


def test_a_point_of_the_curve_is_the_end_of_a_shorter_run(toy_index, tmp_path):
    values = toy_plan(toy_index, **RANDOM_ONLY)
    _, long = run({**values, "finetuning": constant(values, 6), "curve": [2, 4]}, tmp_path)
    _, short = run({**values, "finetuning": constant(values, 4)}, tmp_path)
    (point,) = (CellFolder(tmp_path, cell) for cell in long.cells)
    (end,) = (CellFolder(tmp_path, cell) for cell in short.cells)
    joints = [
        PosePredictions.load(path).joints_rel_mm
        for path in (point.curve_point(2), point.curve_point(4), end.predictions, point.predictions)
    ]
    np.testing.assert_array_equal(joints[1], joints[2])
    assert not np.array_equal(joints[0], joints[1]) and not np.array_equal(joints[1], joints[3])
    assert set(point.result(verify=True)["files"]) == {
        "predictions.npz",
        "predictions_2.npz",
        "predictions_4.npz",
    }


@pytest.fixture(scope="module")
def chosen(toy_index, tmp_path_factory):
    # "train" takes the place of a validation split, which the toy data lack
    rule = {"candidates": [1e-3, 1e-9], "split": "train", "images": 16}
    changes = RANDOM_ONLY | {"seeds": [0, 1], "learning_rate": rule}
    out = tmp_path_factory.mktemp("rates")
    return *run(toy_plan(toy_index, **changes), out), out


def test_the_rate_with_the_lowest_validation_error_is_used_for_all_seeds(chosen):
    plan, table, out = chosen
    tried = [cell for cell in table.cells if cell.stage == SELECTION]
    errors = {
        cell.config["sections"]["optimizer"]["lr"]: CellFolder(out, cell).result()["metrics"]
        for cell in tried
    }
    best = min(errors, key=lambda rate: errors[rate]["mpjpe_mm"])
    tuned = [cell for cell in table.cells if cell.stage == FINETUNING]
    assert len(tried) == len(tuned) == 2
    for cell in tuned:
        assert CellFolder(out, cell).result()["lr"] == best
        stored = json.loads((CellFolder(out, cell).run / "config.json").read_text())
        assert stored["optimizer"]["lr"] == best
    assert audit_plan(plan, table)[FINETUNING].leaks == {}
    (line,) = learning_rate_lines(table, out)
    assert line.startswith(f"learning rate, toy, random: {best:g}; validation MPJPE")


def test_a_cell_whose_candidates_failed_is_blocked(toy_index, tmp_path):
    rule = {"candidates": [1e-3, 1e-4], "split": "train"}
    table = cells_of(plan_from(toy_plan(toy_index, **RANDOM_ONLY, learning_rate=rule)))
    failing = ["select_toy_random_lr0.001", "select_toy_random_lr0.0001"]
    work(
        table,
        tmp_path,
        device="cpu",
        invocation="one",
        say=str,
        run_cell=FakeStage(failing=failing),
    )
    result = outcome(table, tmp_path)
    assert list(result.failed) == failing and list(result.blocked) == ["toy_random_50pc_s0"]
