"""Workers as jobs: by submitit's local executor, which starts what SLURM would start."""

import pickle
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from toy_pose import toy_plan

from adapters.transfer.plan.cells import cells_of
from adapters.transfer.plan.file import plan_from
from adapters.transfer.run.cell_folder import CellFolder
from adapters.transfer.run.cluster import (
    ClusterError,
    Worker,
    failed_jobs,
    parse_settings,
    submit_workers,
)
from adapters.transfer.run.execution import outcome, run_plan

LOCAL = {"cluster": "local", "timeout_min": 10}


@pytest.fixture
def plan(toy_index, tmp_path, monkeypatch, repo_root):
    """A plan of three cells with a network that another process knows too."""
    pytest.importorskip("submitit", reason="submitit is not installed: pip install submitit")
    monkeypatch.setenv("PYTHONPATH", str(repo_root))  # a job starts elsewhere
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    arms = toy_plan(toy_index)["arms"]
    small = {"target": "token_fusion", "model": {"size": "tiny", "guidance": "none"}}
    return plan_from(
        toy_plan(
            toy_index,
            arms={"random": arms["random"], "gesture": arms["gesture"]},
            targets={"small": small},
            comparisons=[{"arm": "gesture", "reference": "random"}],
            seeds=[0],
        )
    )


def test_jobs_end_in_the_predictions_of_local_workers(plan, tmp_path):
    here, there, table = tmp_path / "here", tmp_path / "there", cells_of(plan)
    jobs = submit_workers(plan, there, {"jobs": 2, **LOCAL})
    assert run_plan(plan, here, workers=1, say=str).is_complete
    assert len(jobs) == 2 and failed_jobs(jobs) == {}
    assert outcome(table, there).is_complete
    for cell in (cell for cell in table.cells if cell.target is not None):
        first, second = (CellFolder(out, cell).predictions for out in (here, there))
        with np.load(first) as a, np.load(second) as b:
            assert all(np.array_equal(a[key], b[key]) for key in a.files), cell.label


def test_job_that_fails_is_reported_with_its_error(plan, tmp_path):
    gone = shutil.copytree(plan.data["index"], tmp_path / "gone")
    unusable = replace(plan, data={**plan.data, "index": str(gone)})
    shutil.rmtree(gone)
    (job,) = submit_workers(unusable, tmp_path / "out", LOCAL)
    failed = failed_jobs([job])
    assert list(failed) == [job.job_id]
    assert str(gone) in failed[job.job_id] and "\n" not in failed[job.job_id]


def test_job_that_ended_without_a_word_is_reported():
    class Killed:
        job_id = "7"

        def exception(self):
            lines = ("Job 7 (task: 0) with path p.pkl", "has not produced any output (state: OOM)")
            return RuntimeError("\n".join([*lines, "Error stream produced:", "-" * 40, "noise"]))

    told = "Job 7 (task: 0) with path p.pkl has not produced any output (state: OOM)"
    assert failed_jobs([Killed()]) == {"7": told}


def test_job_that_is_queued_again_does_the_same(plan, tmp_path):
    worker = Worker({"name": "toy"}, str(tmp_path), "one")
    again = worker.checkpoint()
    assert again.function == worker and not again.args and not again.kwargs
    assert pickle.loads(pickle.dumps(worker)) == worker


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jobs": 0}, "jobs=0"),
        ({"jobs": "many"}, "jobs=many"),
        ({"cluster": "moon"}, "cluster=moon.* slurm or local"),
        ({"jobs": 2, "cluster": "local"}, "timeout_min=MINUTES"),
        ({**LOCAL, "colour": "red"}, "'colour' need to be prefixed"),
        ({**LOCAL, "gpus_per_node": "two"}, "gpus_per_node.* expected type"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_possible(plan, tmp_path, settings, message):
    with pytest.raises(ClusterError, match=message):
        submit_workers(plan, tmp_path / "out", settings)


def test_without_slurm_the_message_says_what_runs_the_jobs_here(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="cluster=local"):
        submit_workers(plan, tmp_path / "out", {"timeout_min": 10})


def test_without_submitit_the_message_says_how_to_get_it(toy, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ClusterError, match="pip install submitit"):
        submit_workers(toy.plan, toy.out, LOCAL)


def test_settings_are_read_from_the_command_line():
    texts = ["jobs=4", "slurm_partition=gpu", "mem_gb=1.5", "slurm_constraint=a=b"]
    assert parse_settings(texts) == {
        "jobs": 4, "slurm_partition": "gpu", "mem_gb": 1.5, "slurm_constraint": "a=b",
    }  # fmt: skip
    with pytest.raises(ClusterError, match="'gpu' is not of the form key=value"):
        parse_settings(["gpu"])
