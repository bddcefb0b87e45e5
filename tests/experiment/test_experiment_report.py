"""Scores, external rows, leaks and the command line of the experiment."""

import csv
import importlib.util
import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toy_pose import toy_plan

from adapters.experiment import cluster
from adapters.experiment.cell_folder import CellFolder
from adapters.experiment.cells import cells_of
from adapters.experiment.plan_file import plan_from
from adapters.experiment.pose_pairs import hidden_joints
from adapters.experiment.report import collect_results, write_report
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.evaluation.predictions import PosePredictions


@cache
def tool():
    path = Path(__file__).parents[2] / "tools" / "transfer_experiment.py"
    spec = importlib.util.spec_from_file_location("transfer_experiment", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def plan_file(toy_index, tmp_path) -> Path:
    path = tmp_path / "toy.py"
    values = toy_plan(toy_index)
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in values.items()))
    return path


def test_report_of_a_finished_experiment(finished):
    results, pairs = collect_results(finished.plan, finished.table, finished.out)
    assert [row.arm for row in results.rows] == ["random", "gesture", "shuffled"]
    assert len(pairs) == 2 and results.trouble == () and results.synthetic
    for pair in pairs:
        arm, reference = (
            next(row for row in results.rows if row.arm == name)
            for name in (pair.arm, pair.reference)
        )
        a, b = (np.mean(row.mpjpe_mm["interhand_wrist"]) for row in (arm, reference))
        assert pair.joints.difference_mm == pytest.approx(a - b, rel=1e-6)
        assert pair.joints_p_holm >= pair.joints.p_value
        assert pair.joints.samples == 40 and pair.joints.seeds == 2
    assert results.facts["cells"] == "10 of 10 finished"
    assert all("complete: True" in text for text in results.ledgers.values())
    assert {line.state for line in results.cells} == {"finished"} and len(results.cells) == 10
    assert all((finished.out / line.folder / "cell.json").exists() for line in results.cells)
    assert all(line.minutes > 0 and line.device == "cpu" for line in results.cells)
    assert {line.commit for line in results.cells} == {results.facts["commits"]} != {"None"}
    page = write_report(finished.plan, finished.table, finished.out, command="the command")
    assert "the command" in page.read_text() and "toy, gesture" in page.read_text()
    stored = json.loads(page.with_name("comparisons.json").read_text())
    assert stored[0]["joints"]["difference_mm"] == pairs[0].joints.difference_mm


def test_frozen_features_are_scored_and_kept(finished, toy_index):
    plan = plan_from(
        toy_plan(toy_index, diagnostics={"train_images": 50, "test_images": 30}, name="probed")
    )
    results, _ = collect_results(plan, finished.table, finished.out)
    assert {(s.arm, s.seed) for s in results.features} == {
        (arm, seed) for arm in ("random", "gesture", "shuffled") for seed in (0, 1)
    }
    assert all(20 < score.probe_mpjpe_mm < 300 for score in results.features)
    assert set(results.feature_points) == {"random", "gesture", "shuffled"}
    for score in results.features:
        assert set(score.gain_mm) == (set() if score.arm == "random" else {"toy"})
    written = {p.name: p.stat().st_mtime_ns for p in (finished.out / "features").iterdir()}
    assert len(written) == 12  # six sets of weights, training and test
    collect_results(plan, finished.table, finished.out)
    assert written == {p.name: p.stat().st_mtime_ns for p in (finished.out / "features").iterdir()}


def test_missing_cells_are_said_and_the_rest_is_reported(finished, toy_index, tmp_path):
    plan = plan_from(toy_plan(toy_index, seeds=[0, 1, 2]))
    results, pairs = collect_results(plan, cells_of(plan), finished.out)
    assert pairs[0].joints.seeds == 2 and "2 of 3 seeds" in pairs[0].missing
    assert any("toy_random_50pc_s2 failed: did not run" in text for text in results.trouble)
    nothing, pairs = collect_results(finished.plan, finished.table, tmp_path / "empty")
    assert nothing.rows == () and pairs[0].finding == "not run"
    assert write_report(finished.plan, finished.table, tmp_path / "empty").exists()


def test_changed_predictions_are_not_scored(finished, toy_index, tmp_path):
    import shutil

    out = tmp_path / "copy"
    shutil.copytree(finished.out, out)
    cell = next(c for c in finished.table.cells if c.label == "toy_random_50pc_s0")
    path = CellFolder(out, cell).predictions
    stored = PosePredictions.load(path)
    stored.joints_rel_mm[:] = 0
    stored.save(path)
    results, pairs = collect_results(finished.plan, finished.table, out)
    row = next(row for row in results.rows if row.arm == "random")
    assert row.seeds == (1,) and pairs[0].joints.seeds == 1


def test_other_systems_join_the_table_through_their_predictions(finished, toy_index, tmp_path):
    cell = next(c for c in finished.table.cells if c.label == "toy_random_50pc_s0")
    stored = PosePredictions.load(CellFolder(finished.out, cell).predictions)
    stored.take(slice(0, 30)).save(tmp_path / "theirs.npz")
    external = [{"name": "theirs", "path": str(tmp_path / "theirs.npz"), "text": "another system"}]
    plan = plan_from(toy_plan(toy_index, external=external))
    results, _ = collect_results(plan, cells_of(plan), finished.out)
    row = results.rows[0]
    assert row.is_external and row.target == "theirs" and row.hands["interhand_wrist"] == 30
    missing = plan_from(toy_plan(toy_index, external=[{"name": "x", "path": "nowhere.npz"}]))
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        collect_results(missing, cells_of(missing), finished.out)


def test_leak_stops_the_experiment_before_anything_runs(plan_file, toy_index, tmp_path, capsys):
    out = tmp_path / "out"
    leaking = ["pretraining.data.train_split=test", "data.batch_size=4"]
    arguments = [str(plan_file), "run", "--out", str(out), *leaking]
    assert tool().run(arguments) == 1
    error = capsys.readouterr().err
    assert "pretraining:same_image: 40 of 40 test images" in error and "allowed_leaks" in error
    assert not (out / "cells").exists()
    # a dry run and a report say so as well; the plan may name the leak
    assert tool().run([*arguments, "--dry-run"]) == 1
    allowed = "allowed_leaks=['pretraining:same_image']"
    assert tool().run([*arguments, "--dry-run", allowed]) == 0


def test_leak_into_fine_tuning_is_found_too(plan_file, tmp_path, capsys):
    arguments = [str(plan_file), "run", "--dry-run", "--out", str(tmp_path / "out")]
    assert tool().run([*arguments, "finetuning.data.train_split=test"]) == 1
    assert re.search(r"finetuning:same_image: \d+ of 40", capsys.readouterr().err)


def test_dry_run_prints_cells_steps_hours_and_the_smallest_difference(plan_file, tmp_path, capsys):
    out = tmp_path / "out"
    assumed = "planning={'cluster_sd_mm': 2.0, 'seed_sd_mm': 0.5, 'images_per_s': 32.0}"
    arguments = [str(plan_file), "run", "--dry-run", "--out", str(out), assumed]
    assert tool().run(arguments) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"waiting +4 +32 ", printed)) == 10
    # ten cells of 32 images at 32 images per second
    assert "Time to go: 0.00 h" in printed and "0.00" in printed
    assert re.search(r"smallest difference.*: \d+\.\d\d mm", printed, re.I)
    assert "8 of 8 gestures of the test are in the training" in printed
    assert not out.exists()


def test_command_line_runs_reports_and_picks_up_what_is_there(
    finished, plan_file, toy_index, capsys
):
    arguments = ["--data", str(toy_index), "--out", str(finished.out)]
    assert tool().run([str(plan_file), "run", *arguments]) == 0
    assert "10 cells finished" in capsys.readouterr().out  # those of the fixture: nothing was run
    assert tool().run([str(plan_file), "status", *arguments]) == 0
    assert capsys.readouterr().out.count("finished") >= 10
    assert tool().run([str(plan_file), "report", *arguments]) == 0
    page = finished.out / "reports" / "toy" / "report.html"
    with page.with_name("table.csv").open() as file:
        assert [row[0] for row in csv.reader(file)][1:] == [
            "toy, random", "toy, gesture", "toy, shuffled",
        ]  # fmt: skip
    stored = json.loads((finished.out / "plans" / "toy.json").read_text())
    assert stored["stages"]["pretraining"]["same_image"] == 0


def test_command_line_submits_jobs_waits_and_tells_what_failed(
    plan_file, tmp_path, capsys, monkeypatch
):
    submitted = SimpleNamespace(job_id="7", paths=SimpleNamespace(stderr="7_log.err"))
    asked = []
    monkeypatch.setattr(cluster, "submit_workers", lambda *a: asked.append(a[2]) or [submitted])
    monkeypatch.setattr(cluster, "failed_jobs", lambda jobs: {"7": "out of memory"})
    arguments = [str(plan_file), "run", "--out", str(tmp_path / "out"), "--slurm", "timeout_min=9"]
    assert tool().run([*arguments, "jobs=1"]) == 0
    out = capsys.readouterr().out
    assert "Submitted 7, log 7_log.err" in out and "failed" not in out
    assert tool().run([*arguments, "wait=1"]) == 2  # no cell has run
    out = capsys.readouterr().out
    assert "Job 7 failed: out of memory" in out and "0 cells finished" in out
    assert asked == [{"timeout_min": 9, "jobs": 1}, {"timeout_min": 9}]
    assert tool().run([*arguments[:-1], "gpu"]) == 1
    assert "'gpu' is not of the form key=value" in capsys.readouterr().err


def test_wrong_input_is_one_message(plan_file, tmp_path, capsys):
    assert tool().run([str(tmp_path / "none.py"), "run"]) == 1
    assert tool().run([str(plan_file), "run", "--dry-run", "colour=1"]) == 1
    error = capsys.readouterr().err
    assert "No plan" in error and "Unknown key 'colour'" in error and "Traceback" not in error


def test_some_failed_cells_make_the_exit_status_2(plan_file, tmp_path, capsys):
    broken = [
        "targets={'toy': {'target': 'toy_pose', 'model': {'broken_from': 0}}}",
        "seeds=[0]",
        "arms={'random': {'init': 'random'}}",
        "comparisons=[]",
    ]
    assert tool().run([str(plan_file), "run", "--out", str(tmp_path / "out"), *broken]) == 2
    assert "Failed: toy_random_50pc_s0: RuntimeError: this toy is broken" in capsys.readouterr().out


def test_hidden_joint_is_one_behind_another_finger():
    joints = np.zeros((1, 21, 3))
    joints[..., 0] = 50.0 * np.arange(21)
    joints[..., 2] = 600
    assert not hidden_joints(joints).any()
    joints[0, 5] = 1.1 * joints[0, 20]  # behind joint 20, on its ray
    assert np.flatnonzero(hidden_joints(joints)[0]).tolist() == [5]
    joints[0, 17] = 1.1 * joints[0, 18]  # behind a joint of its own finger
    assert not hidden_joints(joints)[0, 17]
    joints[0, 20] = np.nan
    assert not hidden_joints(joints)[0, 5]


def test_all_cells_of_a_seed_were_trained_on_the_same_images(finished):
    notes = {}
    for cell in finished.table.cells:
        result = CellFolder(finished.out, cell).result()
        notes.setdefault((cell.stage, cell.seed), set()).add(result["train_rows_sha256"])
    assert all(len(hashes) == 1 for hashes in notes.values())
    index = HandIndex.open(finished.plan.data["index"])
    assert len(index) == 100
