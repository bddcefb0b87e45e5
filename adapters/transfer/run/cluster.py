"""Workers as jobs of a cluster, through submitit. They share the folder of the study."""

import ast
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
    """Jobs cannot be submitted with these settings, or on this machine."""


@dataclass(frozen=True)
class Worker:
    """The function of a job: run cells of a plan until none is left.

    Attributes:
        values: Values of the plan.
        out: Folder of the study.
        invocation: Name that all jobs of one submission share.
    """

    values: Mapping[str, Any]
    out: str
    invocation: str

    def __call__(self) -> None:
        """Run the cells."""
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
            ends_work=(UncompletedJobError,),  # raised at any point when the time limit is reached
        )

    def checkpoint(self):
        """Return what submitit queues after a preemption or time limit: the same worker.

        Its cells continue from their last checkpoints.
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit_workers(plan: Plan, out: Path, settings: Mapping[str, Any]) -> list:
    """Submit workers through submitit.

    Args:
        plan: The plan, audited for leaks by the caller.
        out: Folder of the study, on a file system that all machines share.
        settings: `jobs` is their number (default 1). `cluster` is "slurm" (default), or "local" to
            run the jobs on this machine. `timeout_min` or `slurm_time` is required. These and all
            others (`slurm_partition`, `gpus_per_node`, …) are passed to
            `submitit.AutoExecutor.update_parameters`.

    Returns:
        The jobs, as `submitit.Job`.

    Raises:
        ClusterError: submitit is not installed, there is no SLURM, or a setting is wrong.
    """
    chosen = dict(settings)
    jobs, cluster = chosen.pop("jobs", 1), chosen.pop("cluster", "slurm")
    if not isinstance(jobs, int) or jobs < 1:
        raise ClusterError(f"--slurm jobs={jobs}: must be a whole number from 1 on.")
    if cluster not in CLUSTERS:
        raise ClusterError(f"--slurm cluster={cluster}: must be {' or '.join(CLUSTERS)}.")
    if not any(name in chosen for name in _LIMITS):
        raise ClusterError(
            "--slurm requires timeout_min=MINUTES, the time limit of a job; submitit's default is "
            "5. A job that reaches its limit is queued again, up to three times, and continues "
            "from its last checkpoint."
        )
    executor = _executor(Path(out) / "jobs", cluster, chosen)
    invocation = uuid4().hex
    return [executor.submit(Worker(asdict(plan), str(out), invocation)) for _ in range(jobs)]


def failed_jobs(jobs: Sequence) -> dict[str, str]:
    """Wait until all jobs have ended, and return job id -> error of those that failed.

    A failed cell does not make its job fail: see `execution.outcome`.
    """
    errors = {job.job_id: job.exception() for job in jobs}
    return {number: _summary(error) for number, error in errors.items() if error is not None}


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Parse `key=value` texts; values that are Python literals become numbers and so on.

    Raises:
        ClusterError: A setting has no "=".
    """
    chosen = {}
    for text in settings:
        key, sign, value = text.partition("=")
        if not sign:
            raise ClusterError(f"--slurm {text!r} is not of the form key=value.")
        try:
            chosen[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            chosen[key] = value
    return chosen


def _summary(error: BaseException) -> str:
    """Return the last line of the traceback in a message of submitit.

    The message about a job that was killed has no traceback. Its first two lines are a sentence.
    """
    parts = str(error).split(_FRAME)
    if len(parts) > 2:
        return parts[1].strip().splitlines()[-1]
    return " ".join(line.strip() for line in parts[0].splitlines()[:2])


def _executor(folder: Path, cluster: str, parameters: Mapping[str, Any]):
    try:
        import submitit
    except ImportError as error:
        raise ClusterError(
            "Submitting jobs requires the package submitit: pip install submitit. Without it, "
            "start the command on each machine; they share the folder."
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=str(folder), cluster=cluster)
        executor.update_parameters(**parameters)
    except RuntimeError as error:
        raise ClusterError(
            f"--slurm: {error} On a machine without SLURM, cluster=local runs the jobs here."
        ) from error
    except (NameError, AssertionError) as error:  # submitit's errors for wrong parameters
        raise ClusterError(f"--slurm: {error}") from error
    return executor


def _device() -> str:
    """Return the device of this task; each task of a job has its own."""
    import torch

    count = torch.cuda.device_count()
    task = int(os.environ.get("SLURM_LOCALID", os.environ.get("SUBMITIT_LOCAL_LOCALID", 0)))
    return f"cuda:{task % count}" if count else "cpu"
