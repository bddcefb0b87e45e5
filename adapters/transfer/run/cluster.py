"""Workers as jobs, by submitit. They share the experiment's folder, as local workers do."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from adapters.transfer.plan.plan import Plan

CLUSTERS = ("slurm", "local")
_LIMITS = ("timeout_min", "slurm_time")
_FRAME = f"\n{'-' * 22}\n"  # above and below the traceback in a message of submitit


class ClusterError(ValueError):
    """Jobs cannot be submitted as asked for."""


@dataclass(frozen=True)
class Worker:
    """What a job does: runs cells of a plan until none is left.

    Attributes:
        values: of the plan.
        out: folder of the experiment.
        invocation: what was submitted together.
    """

    values: Mapping[str, Any]
    out: str
    invocation: str

    def __call__(self) -> None:
        """Works."""
        from submitit.core.utils import UncompletedJobError

        from adapters.transfer.plan.cells import cells_of
        from adapters.transfer.plan.file import plan_from
        from adapters.transfer.run.execution import quiet_warnings, work

        quiet_warnings()
        work(
            cells_of(plan_from(self.values)),
            Path(self.out),
            device=_device(),
            invocation=self.invocation,
            ends_work=(UncompletedJobError,),  # raised wherever the job is when its time is over
        )

    def checkpoint(self):
        """What submitit queues again after preemption or the end of a job's time: the same.

        Its cells go on from their last checkpoints.
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit_workers(plan: Plan, out: Path, settings: Mapping[str, Any]) -> list:
    """Submits workers through submitit.

    Args:
        plan: the plan, audited for leaks.
        out: folder of the experiment, on a file system that all machines see.
        settings: `jobs`, their number (1 by default); `cluster`, "slurm" (by default) or "local",
            which runs the jobs on this machine; all else goes to
            `submitit.AutoExecutor.update_parameters`, e.g. `timeout_min`, which has to be there
            (or `slurm_time`), `slurm_partition`, `gpus_per_node`.

    Returns:
        The jobs, `submitit.Job`.

    Raises:
        ClusterError: submitit is not installed, there is no SLURM here, or a setting is wrong.
    """
    chosen = dict(settings)
    jobs, cluster = chosen.pop("jobs", 1), chosen.pop("cluster", "slurm")
    if not isinstance(jobs, int) or jobs < 1:
        raise ClusterError(f"--slurm jobs={jobs}: a whole number from 1 on is needed.")
    if cluster not in CLUSTERS:
        raise ClusterError(f"--slurm cluster={cluster}: possible are {', '.join(CLUSTERS)}.")
    if not any(name in chosen for name in _LIMITS):
        raise ClusterError(
            "--slurm needs timeout_min=MINUTES, how long a job may take: submitit would end it "
            "after 5. A job that reaches it is queued again, up to three times, and goes on from "
            "its last checkpoint."
        )
    executor = _executor(Path(out) / "jobs", cluster, chosen)
    invocation = uuid4().hex
    return [executor.submit(Worker(asdict(plan), str(out), invocation)) for _ in range(jobs)]


def failed_jobs(jobs: Sequence) -> dict[str, str]:
    """Waits until all jobs have ended; job's number -> what ended it, for those that failed.

    A cell that fails is no failure of its job: see `execution.outcome`.
    """
    errors = {job.job_id: job.exception() for job in jobs}
    return {number: _in_short(error) for number, error in errors.items() if error is not None}


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """`key=value` texts as a dict; numbers as such.

    Raises:
        ClusterError: a setting without "=".
    """
    chosen = {}
    for text in settings:
        key, sign, value = text.partition("=")
        if not sign:
            raise ClusterError(f"--slurm {text!r} is not of the form key=value.")
        chosen[key] = _number_or_text(value)
    return chosen


def _in_short(error: BaseException) -> str:
    """The error that a job ended with, of submitit's message with a framed traceback.

    Where the job ended without a word of its own the message has no frame; its first two lines are
    a sentence that says so.
    """
    parts = str(error).split(_FRAME)
    if len(parts) > 2:
        return parts[1].strip().splitlines()[-1]
    return " ".join(line.strip() for line in parts[0].splitlines()[:2])


def _number_or_text(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _executor(folder: Path, cluster: str, parameters: Mapping[str, Any]):
    try:
        import submitit
    except ImportError as error:
        raise ClusterError(
            "submitting jobs needs the package submitit: pip install submitit. Without it, start "
            "'transfer_experiment.py PLAN run' on each machine; they share the folder."
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=str(folder), cluster=cluster)
        executor.update_parameters(**parameters)
    except RuntimeError as error:
        raise ClusterError(
            f"--slurm: {error} On a machine without SLURM, cluster=local runs the jobs here."
        ) from error
    except (NameError, AssertionError) as error:  # submitit's for wrong parameters
        raise ClusterError(f"--slurm: {error}") from error
    return executor


def _device() -> str:
    """One device for each task of a job."""
    import torch

    count = torch.cuda.device_count()
    task = int(os.environ.get("SLURM_LOCALID", os.environ.get("SUBMITIT_LOCAL_LOCALID", 0)))
    return f"cuda:{task % count}" if count else "cpu"
