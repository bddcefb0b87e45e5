"""Which cells a worker runs, and what it makes of failures and changes."""

import json
import multiprocessing
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_stage import FakeStage
from toy_pose import toy_plan

from adapters.transfer.plan.cells import cells_of
from adapters.transfer.plan.file import plan_from
from adapters.transfer.run.cell_folder import CellFolder, CellFolderError
from adapters.transfer.run.execution import outcome, run_one, run_plan, work
from adapters.transfer.run.forecast import forecast, forecast_lines
from adapters.transfer.study import Study
from gesture_pretrain.files import DiskFull
from gesture_pretrain.training.stopped import ToldToEnd


def states(toy) -> dict[str, str]:
    return {cell.label: CellFolder(toy.out, cell).state() for cell in toy.table.cells}


def go(toy, stage, invocation="one"):
    work(
        toy.table, toy.out, device="cpu", invocation=invocation, say=toy.said.append, run_cell=stage
    )
    return outcome(toy.table, toy.out)


def test_finished_cells_are_not_run_again(toy):
    first, second = FakeStage(), FakeStage()
    assert go(toy, first).is_complete and len(first.ran) == len(toy.table.cells) == 10
    assert go(toy, second, "two").is_complete and second.ran == []


def test_the_holder_of_a_worker_that_was_killed_after_its_cell_is_deleted(toy):
    """A kill between the result and the end of the lock left holder.json for good."""
    go(toy, FakeStage())
    left = next(toy.out.glob("cells/*")) / "holder.json"
    left.write_text(json.dumps({"pid": 1, "host": socket.gethostname(), "heartbeat": 0.0}))
    assert go(toy, FakeStage(), "two").is_complete
    assert not list(toy.out.glob("cells/*/holder.json"))


def test_failing_cell_is_reported_and_the_others_go_on(toy):
    failing = "toy_random_50pc_s0"
    result = go(toy, FakeStage(failing=[failing]))
    assert result.failed == {failing: f"RuntimeError: {failing} cannot"}
    assert len(result.finished) == 9 and not result.blocked
    assert any("failed: RuntimeError" in line for line in toy.said)
    stored = json.loads(next(toy.out.glob(f"cells/{failing}-*/failure.json")).read_text())
    assert "be run" in stored["traceback"]
    # the next run tries it again, once, and nothing else
    again = FakeStage()
    assert go(toy, again, "two").is_complete and again.ran == [failing]


def test_cells_that_need_failed_weights_are_blocked_not_run(toy):
    stage = FakeStage(failing=["pretrain_gesture_tiny_s1"])
    result = go(toy, stage)
    assert result.blocked == {"toy_gesture_50pc_s1": "pretrain_gesture_tiny_s1"}
    assert "toy_gesture_50pc_s1" not in stage.ran and len(result.finished) == 8


def test_changed_configuration_is_another_cell(toy, toy_index):
    go(toy, FakeStage())
    values = toy_plan(toy_index)
    values["finetuning"]["schedule"] = {"iterations": 5}
    changed = cells_of(plan_from(values))
    stage = FakeStage()
    work(changed, toy.out, device="cpu", invocation="two", say=str, run_cell=stage)
    assert sorted(stage.ran) == sorted(c.label for c in changed.cells if c.target)
    assert len(list((toy.out / "cells").iterdir())) == 4 + 6 + 6


def edited(path):
    content = json.loads(path.read_text())
    content["config"]["seed"] = 7
    path.write_text(json.dumps(content))


def cut_short(path):
    path.write_text(path.read_text()[:40])


@pytest.mark.parametrize("harm", [edited, cut_short, Path.unlink])
def test_cell_folder_that_does_not_hold_its_configuration_is_refused_and_said(toy, harm):
    go(toy, FakeStage())
    cell = toy.table.cells[-1]
    harm(CellFolder(toy.out, cell).path / "cell.json")
    with pytest.raises(CellFolderError, match="Delete the folder"):
        CellFolder(toy.out, cell).result()
    assert states(toy)[cell.label] == "unusable"
    if harm is not Path.unlink:  # prepare writes a missing one anew, and the cell is run
        stage = FakeStage()
        assert cell.label in go(toy, stage, "two").failed and stage.ran == []


def test_damaged_weights_are_not_passed_on(toy):
    pretraining = next(c for c in toy.table.cells if c.arm == "gesture" and c.target is None)
    dependent = next(c for c in toy.table.cells if c.needs == pretraining.key)
    go(toy, FakeStage(failing=[dependent.label]))
    (CellFolder(toy.out, pretraining).weights / "w.safetensors").write_text("changed")
    result = go(toy, FakeStage(), "two")
    assert "hash differs" in result.failed[dependent.label]


def test_a_study_whose_predictions_do_not_fit_is_not_begun(toy, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DiskFull, match="out .*needed") as caught:
        Study(toy.plan, toy.table, toy.out, toy.said.append).run(workers=1)
    assert caught.value.bytes_needed == 6 * 40 * 268  # fine-tunings, images
    assert not toy.out.exists()


def work_at_once(toy, stages) -> None:
    """One forked process per (invocation, stage); a thread would share standard output."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=go, args=(toy, stage, name)) for name, stage in stages]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join(timeout=240)
        assert [worker.exitcode for worker in workers] == [0] * len(workers)
    finally:
        for worker in workers:
            worker.kill()


def runs_of(toy) -> dict[str, int]:
    """Label -> how often the cell was run, by whatever process."""
    return {
        cell.label: len((CellFolder(toy.out, cell).path / "ran.txt").read_text().splitlines())
        for cell in toy.table.cells
    }


def test_workers_share_the_cells_and_run_each_once(toy):
    work_at_once(toy, [("one", FakeStage(seconds=0.02))] * 3)
    assert set(runs_of(toy).values()) == {1}
    assert outcome(toy.table, toy.out).is_complete


def test_two_experiments_at_once_each_try_a_failing_cell_once(toy):
    """Each forgot its own failure when the other noted its own, and they went on for ever."""
    failing = "toy_random_50pc_s0"
    work_at_once(toy, [(name, FakeStage(failing=[failing], seconds=0.02)) for name in "ab"])
    assert runs_of(toy).pop(failing) == 2
    assert list(outcome(toy.table, toy.out).failed) == [failing]
    # and what was noted by a run that has ended does not stop the next one
    assert go(toy, FakeStage(), "c").is_complete


def test_error_that_is_not_the_cells_ends_the_worker_and_leaves_the_cell_to_be_resumed(toy):
    """The end of a job's time, raised in the middle of a cell, was noted as the cell's failure."""

    def out_of_time(folder, weights, *, device):
        raise TimeoutError

    with pytest.raises(TimeoutError):
        work(
            toy.table, toy.out, device="cpu", invocation="one", say=toy.said.append,
            run_cell=out_of_time, ends_work=(TimeoutError,),
        )  # fmt: skip
    assert len(toy.said) == 1 and not list(toy.out.rglob("failure.json"))
    assert go(toy, FakeStage(), "one").is_complete


def test_sigterm_ends_the_worker_and_leaves_the_cell_to_be_resumed(toy):
    """It was noted as the cell's failure, and the worker went on with the next cell."""

    def told_to_end(folder, weights, *, device):
        raise ToldToEnd

    with pytest.raises(ToldToEnd):
        go(toy, told_to_end)
    assert len(toy.said) == 1 and not list(toy.out.rglob("failure.json"))
    assert go(toy, FakeStage()).is_complete


def test_states_and_forecast(toy):
    assert set(states(toy).values()) == {"waiting"}
    found = forecast(toy.plan, toy.table, toy.out)
    text = "\n".join(forecast_lines(toy.plan, found))
    assert found.hours == {} and found.detectable_mm is None and not toy.out.exists()
    assert "gesture minus random" in text and "unknown" in text
    assert "Scored on 40 images" in text and "of 3 subjects, 2 seeds" in text
    go(toy, FakeStage(failing=["toy_random_50pc_s0"]))
    found = forecast(toy.plan, toy.table, toy.out)
    # the one to go has 4 steps of 8 images; finished cells noted one second each
    assert found.hours == pytest.approx({1: 1 / 3600, 8: 1 / 3600})
    assert states(toy)["toy_random_50pc_s0"] == "failed"


def test_hours_follow_the_stages_and_the_number_of_workers(toy_index, tmp_path):
    rates = {"images_per_s": 1.0, "pretraining_images_per_s": 2.0, "prediction_images_per_s": 10.0}
    plan = plan_from(toy_plan(toy_index, planning=rates))
    found = forecast(plan, cells_of(plan), tmp_path)
    pretraining, finetuning = 4 * 8 / 2, 4 * 8 + 40 / 10
    one, eight = (3600 * found.hours[n] for n in (1, 8))
    assert one == pytest.approx(4 * pretraining + 6 * finetuning)
    assert eight == pytest.approx(pretraining + finetuning)  # a chain cannot be shared out


def test_forecast_of_the_smallest_difference_follows_seeds_and_spread(toy_index, tmp_path):
    def detectable(**changes):
        plan = plan_from(
            toy_plan(
                toy_index,
                planning={"cluster_sd_mm": 2.0, "seed_sd_mm": 0.5, "source": "a pilot"},
                **changes,
            )
        )
        table = cells_of(plan)
        found = forecast(plan, table, tmp_path)
        assert "a pilot" in "\n".join(forecast_lines(plan, found))
        return found.detectable_mm

    assert detectable(seeds=[0, 1, 2, 3, 4]) < detectable(seeds=[0, 1]) / 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seeds": [0]}, "clusters (subject, sequence) of 3 subjects, 1 seed."),
        ({"seeds": [0, 1]}, ", 2 seeds."),
        ({"cluster_by": "subject"}, "3 subjects, which are the clusters"),
    ],
)
def test_forecast_names_seeds_and_clusters(toy_index, tmp_path, changes, named):
    plan = plan_from(toy_plan(toy_index, **changes))
    text = "\n".join(forecast_lines(plan, forecast(plan, cells_of(plan), tmp_path)))
    assert named in text


def test_impossible_number_of_workers(toy):
    with pytest.raises(ValueError, match="1 or more"):
        run_plan(toy.plan, toy.out, workers=0)


def test_one_named_cell_is_run_when_its_weights_are_there(toy):
    with pytest.raises(ValueError, match="no cell 'colour'; it has pretrain_gesture_tiny_s0"):
        run_one(toy.table, toy.out, "colour")
    with pytest.raises(ValueError, match="needs pretrain_gesture_tiny_s0, which is not finished"):
        run_one(toy.table, toy.out, "toy_gesture_50pc_s0")
    run_one(toy.table, toy.out, "toy_random_50pc_s0", device="cpu")
    found = states(toy)
    assert found["toy_random_50pc_s0"] == "finished"
    assert list(found.values()).count("finished") == 1
