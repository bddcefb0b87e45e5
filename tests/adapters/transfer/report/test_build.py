"""Scores, external rows, leaks and the command line of the experiment."""

import csv
import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tool_module import load_tool
from toy_pose import toy_plan

from adapters.transfer.plan.cells import cells_of
from adapters.transfer.plan.file import plan_from, read_plan
from adapters.transfer.plan.plan import External
from adapters.transfer.report.build import collect_results, write_report
from adapters.transfer.run import cluster
from adapters.transfer.run.cell_folder import CellFolder
from adapters.transfer.score.comparing import compare_plan
from adapters.transfer.score.exposure import Exposure
from adapters.transfer.score.scoring import score_plan, truth_reader
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.statistics.comparison import holm
from gesture_pretrain.files import DiskFull


@cache
def tool():
    return load_tool("transfer_experiment")


@pytest.fixture
def plan_file(toy_index, tmp_path) -> Path:
    path = tmp_path / "toy.py"
    values = toy_plan(toy_index)
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in values.items()))
    return path


def test_report_of_a_finished_experiment(finished):
    results = collect_results(finished.plan, finished.table, finished.out)
    pairs = results.pairs
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
        assert pair.joints.pretrainings == 2  # each seed pretrains again
        assert not any("pretraining" in caveat for caveat in pair.joints.caveats)
    assert results.facts["cells"] == "10 of 10 finished"
    assert all("complete: True" in text for text in results.ledgers.values())
    assert set(results.cells["state"]) == {"finished"} and len(results.cells) == 10
    assert all((finished.out / name / "cell.json").exists() for name in results.cells["cell"])
    assert set(results.cells["device"]) == {"cpu"}
    (commit,) = set(results.cells["commit"])
    assert results.facts["commits"].startswith(commit) and commit != "None"
    learned = results.pretraining.set_index("arm")
    assert learned["labels"].to_dict() == {"gesture, tiny": "gesture", "shuffled, tiny": "shuffled"}
    top1 = learned["train top-1, fine"].str.removesuffix(" %").astype(float)
    assert top1.between(0, 100).all()
    assert results.rows[0].train_moments < results.rows[0].train_images
    page = write_report(finished.plan, finished.table, finished.out, command="the command")
    assert "the command" in page.read_text() and "toy, gesture" in page.read_text()
    stored = json.loads(page.with_name("comparisons.json").read_text())
    assert stored[0]["joints"]["difference_mm"] == pairs[0].joints.difference_mm


def test_frozen_features_are_scored_and_kept(finished, toy_index):
    plan = plan_from(
        toy_plan(toy_index, diagnostics={"train_images": 50, "test_images": 30}, name="probed")
    )
    results = collect_results(plan, finished.table, finished.out)
    assert {(s.arm, s.seed) for s in results.features} == {
        (arm, seed) for arm in ("random", "gesture", "shuffled") for seed in (0, 1)
    }
    assert all(20 < score.probe_mpjpe_mm < 300 for score in results.features)
    for score in results.features:
        assert set(score.gain_mm) == (set() if score.arm == "random" else {"toy"})
    written = {p.name: p.stat().st_mtime_ns for p in (finished.out / "features").iterdir()}
    assert len(written) == 12  # six sets of weights, training and test
    collect_results(plan, finished.table, finished.out)
    assert written == {p.name: p.stat().st_mtime_ns for p in (finished.out / "features").iterdir()}


def test_missing_cells_are_said_and_the_rest_is_reported(finished, toy_index, tmp_path):
    plan = plan_from(toy_plan(toy_index, seeds=[0, 1, 2]))
    results = collect_results(plan, cells_of(plan), finished.out)
    pair = results.pairs[0]
    assert pair.joints.seeds == 2 and "2 of 3 seeds" in pair.missing
    assert any("toy_random_50pc_s2 failed: did not run" in text for text in results.trouble)
    nothing = collect_results(finished.plan, finished.table, tmp_path / "empty")
    assert nothing.rows == () and nothing.pairs[0].finding == "not run"
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
    results = collect_results(finished.plan, finished.table, out)
    row = next(row for row in results.rows if row.arm == "random")
    assert row.seeds == (1,) and results.pairs[0].joints.seeds == 1


def test_other_systems_join_the_table_through_their_predictions(finished, toy_index, tmp_path):
    cell = next(c for c in finished.table.cells if c.label == "toy_random_50pc_s0")
    stored = PosePredictions.load(CellFolder(finished.out, cell).predictions)
    stored.take(slice(0, 30)).save(tmp_path / "theirs.npz")
    external = [{"name": "theirs", "path": str(tmp_path / "theirs.npz"), "text": "another system"}]
    plan = plan_from(toy_plan(toy_index, external=external))
    results = collect_results(plan, cells_of(plan), finished.out)
    row = results.rows[0]
    assert row.is_external and row.target == "theirs" and row.hands["interhand_wrist"] == 30
    assert row.interval_mm is None and results.rows[1].interval_mm is not None
    (tmp_path / "theirs.npz").unlink()  # since the plan was read
    with pytest.raises(FileNotFoundError, match="theirs.npz"):
        collect_results(plan, cells_of(plan), finished.out)


def test_other_systems_are_compared_on_the_hands_of_both(finished, toy_index, tmp_path):
    """One of the cells as another system: it differs from the other seed alone."""
    cell = next(c for c in finished.table.cells if c.label == "toy_gesture_50pc_s0")
    stored = PosePredictions.load(CellFolder(finished.out, cell).predictions)
    stored.take(slice(0, 30)).save(tmp_path / "theirs.npz")
    external = [
        {"name": "theirs", "path": str(tmp_path / "theirs.npz")},
        {"name": "again", "path": str(tmp_path / "theirs.npz"), "reference": "shuffled"},
    ]
    plan = plan_from(toy_plan(toy_index, external=external))
    results = collect_results(plan, cells_of(plan), finished.out)
    alone = collect_results(finished.plan, finished.table, finished.out)
    # the declared comparisons and their correction are as without other systems
    assert [p.joints_p_holm for p in results.pairs] == [p.joints_p_holm for p in alone.pairs]
    theirs, again = results.external_pairs
    assert theirs.label == "theirs against toy, gesture, 50 % labels"
    assert again.label == "again against toy, shuffled, 50 % labels"
    assert theirs.joints.samples == 30 and theirs.joints.seeds == 2
    assert theirs.joints.per_seed_mm[0] == pytest.approx(0, abs=1e-9)  # that very cell
    assert theirs.joints.difference_mm == pytest.approx(theirs.joints.per_seed_mm[1] / 2)
    assert theirs.joints_p_holm >= theirs.joints.p_value
    page = write_report(plan, cells_of(plan), finished.out).read_text()
    assert "theirs against toy, gesture, 50 % labels" in page


def test_gains_of_parts_are_paired_and_corrected_among_themselves(finished):
    first = collect_results(finished.plan, finished.table, finished.out).pairs[0]
    # the weighted joints make the whole; the wrist is the root, without an error
    assert len(first.by_joint) == 20 and "wrist" not in [g.name for g in first.by_joint]
    mean = sum(gain.difference_mm for gain in first.by_joint) / 21
    assert mean == pytest.approx(first.joints.difference_mm, abs=1e-6)
    for gain in first.by_joint:
        assert gain.low_mm < gain.difference_mm < gain.high_mm and gain.p_holm <= 1
        assert gain.clusters == first.joints.clusters
    # all gestures of the toy were in pretraining: that part is the whole
    (seen,) = first.by_exposure
    assert seen.name == "8 gestures in pretraining" and seen.seen
    assert seen.difference_mm == pytest.approx(first.joints.difference_mm)
    assert seen.low_mm == pytest.approx(first.joints.low_mm)
    # a gesture has one cluster for each of three subjects
    assert {gain.clusters for gain in first.by_gesture} <= {1, 2, 3}
    for gain in first.by_gesture:
        assert np.isnan(gain.low_mm) == (gain.clusters < 3) == np.isnan(gain.p_holm)


def test_gestures_that_pretraining_had_and_had_not_are_two_parts(finished, monkeypatch):
    scored = score_plan(finished.plan, finished.table, finished.out, truth_reader(finished.plan))
    labels = next(iter(scored.cells.values()))["interhand_wrist"].info["label"]
    seen = frozenset(np.unique(labels)[:3].tolist())
    gestures = frozenset(np.unique(labels)[:-3].tolist())
    exposure = {"gesture": Exposure(seen, gestures), "shuffled": Exposure(seen, gestures)}
    pairs = compare_plan(finished.plan, scored, exposure=exposure)
    old, new, without = pairs[0].by_exposure
    assert (old.seen, new.seen) == (True, False) and "not in pretraining" in new.name
    assert old.hands == np.isin(
        labels, list(seen)
    ).sum() and old.hands + new.hands + without.hands == len(labels)
    assert without.name == "3 sequences without a gesture"
    assert {gain.seen for gain in pairs[0].by_gesture} == {True, False}
    # Holm is over the table's rows: the parts of both comparisons
    corrected = [gain.p_holm for pair in pairs for gain in pair.by_exposure]
    monkeypatch.setattr("adapters.transfer.score.comparing.correct_exposure", lambda pairs: pairs)
    raw = compare_plan(finished.plan, scored, exposure=exposure)
    single = [gain.p_holm for pair in raw for gain in pair.by_exposure]
    assert len(single) == 6 and corrected == pytest.approx(holm(single).tolist())
    assert corrected != pytest.approx(single)
    assert compare_plan(finished.plan, scored, exposure={})[0].by_exposure == ()


def test_scoring_that_cannot_fit_is_refused(finished, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DiskFull, match="needed") as caught:
        score_plan(finished.plan, finished.table, finished.out, truth_reader(finished.plan))
    numbers = 22 * 40 * len(finished.plan.protocols) * 6  # joints and mesh, hands, cells
    assert caught.value.bytes_needed == 8 * numbers


def test_pose_tiles_show_truth_reference_and_arm_of_each_hand(finished):
    tiles = collect_results(finished.plan, finished.table, finished.out).pose_tiles
    truths, references, arms = tiles[::3], tiles[1::3], tiles[2::3]
    kinds = [re.search(r"\n(\w+):", tile.caption)[1] for tile in truths]
    assert kinds == ["worst"] * 2 + ["median"] * 2 + ["best"] * 2
    for truth, reference, arm in zip(truths, references, arms, strict=True):
        assert truth.image is reference.image is arm.image
        assert truth.joint_valid.all() and ((truth.keypoints_px > 0).all(1)).all()
        # drawn from the true wrist
        np.testing.assert_allclose(arm.keypoints_px[0], truth.keypoints_px[0], atol=1e-3)
    errors_mm = [[int(t.caption.split()[-2]) for t in side] for side in (references, arms)]
    gains = np.subtract(*errors_mm)
    assert gains[0] <= gains[2] <= gains[-1]


def test_leak_stops_the_experiment_before_anything_runs(plan_file, toy_index, tmp_path, capsys):
    out = tmp_path / "out"
    leaking = ["pretraining.data.train_split=test", "data.batch_size=4"]
    arguments = [str(plan_file), "run", "--out", str(out), *leaking]
    assert tool().run(arguments) == 1
    error = capsys.readouterr().err
    assert "pretraining:same_image: 40 of 40 test images" in error and "allowed_leaks" in error
    assert not (out / "cells").exists()
    assert tool().run([*arguments[:4], "--dry-run", "finetuning.data.train_split=test"]) == 1
    assert "finetuning:same_image" in capsys.readouterr().err
    # a dry run and a report say so as well; the plan may name the leak
    assert tool().run([*arguments, "--dry-run"]) == 1
    allowed = "allowed_leaks=['pretraining:same_image']"
    assert tool().run([*arguments, "--dry-run", allowed]) == 0


def test_dry_run_prints_cells_steps_hours_and_the_smallest_difference(plan_file, tmp_path, capsys):
    out = tmp_path / "out"
    assumed = "planning={'cluster_sd_mm': 2.0, 'seed_sd_mm': 0.5, 'images_per_s': 32.0}"
    arguments = [str(plan_file), "run", "--dry-run", "--out", str(out), assumed]
    assert tool().run(arguments) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"waiting +4 +32 ", printed)) == 10
    # ten cells of 32 images at 32 images per second
    assert "0.00 h with 1 worker, 0.00 h with 8 workers" in printed
    assert "gesture minus shuffled" in printed and "power 80 %" in printed
    assert re.search(r"detectable difference.*: \d+\.\d\d mm", printed)
    assert "8 of 8 test gestures occur in training" in printed
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
        rows = list(csv.DictReader(file))
    assert {row["arm"] for row in rows} == {"random", "gesture", "shuffled", ""}
    assert rows[-1]["target"] == "mean training pose" and float(rows[-1]["mpjpe_mm"]) > 10
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
    assert "none.py" in error and "Unknown key colour" in error and "Traceback" not in error


def test_lists_of_tables_can_be_given_on_the_command_line(plan_file, tmp_path, capsys):
    path = tmp_path / "theirs.npz"
    path.write_bytes(b"")
    plan = read_plan(plan_file, [f'external=[dict(name=HaMeR, path="{path}")]'])
    assert plan.external == (External("HaMeR", str(path)),)
    # without single quotes around it, the shell has taken the double ones away
    assert tool().run([str(plan_file), "status", "external=[dict(name=HaMeR,path=a.npz)]"]) == 1
    error = capsys.readouterr().err
    assert "Override 'external=" in error and "a.npz is not a value" in error
    assert "single quotes" in error


@pytest.mark.parametrize("action", ["run", "status", "report"])
@pytest.mark.parametrize("inside", ["", "new"])
def test_a_file_as_out_is_refused_as_such(plan_file, tmp_path, capsys, action, inside):
    # the message was about a failure.json that the user never named
    (tmp_path / "file").write_text("")
    assert tool().run([str(plan_file), action, "--out", str(tmp_path / "file" / inside)]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'file'} is a file" in said and "folder" in said


def test_some_failed_cells_make_the_exit_status_2(plan_file, tmp_path, capsys):
    broken = [
        "targets={'toy': {'target': 'toy_pose', 'model': {'broken_from': 0}}}",
        "seeds=[0]",
        "arms={'random': {'init': 'random'}}",
        "comparisons=[]",
    ]
    assert tool().run([str(plan_file), "run", "--out", str(tmp_path / "out"), *broken]) == 2
    assert "Failed: toy_random_50pc_s0: RuntimeError: this toy is broken" in capsys.readouterr().out


def test_all_cells_of_a_seed_were_trained_on_the_same_images(finished):
    notes = {}
    for cell in finished.table.cells:
        result = CellFolder(finished.out, cell).result()
        notes.setdefault((cell.stage, cell.seed), set()).add(result["train_rows_sha256"])
    assert all(len(hashes) == 1 for hashes in notes.values())
    index = HandIndex.open(finished.plan.data["index"])
    assert len(index) == 100
