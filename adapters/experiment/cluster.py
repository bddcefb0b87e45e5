"""Workers as jobs of a cluster. They share the experiment's folder, as local workers do."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from .plan import Plan


def submit_workers(plan: Plan, out: Path, settings: Sequence[str]) -> list[str]:
    """Submits workers through submitit.

    Args:
        plan: the plan, audited for leaks.
        out: folder of the experiment, on a file system that all machines see.
        settings: `jobs=N` for their number (1 by default); all else goes to
            `submitit.AutoExecutor.update_parameters`, e.g. `slurm_partition=gpu gpus_per_node=1`.

    Returns:
        The jobs' numbers.

    Raises:
        ImportError: submitit is not installed.
        ValueError: a setting without "=".
    """
    try:
        import submitit
    except ImportError as error:
        raise ImportError(
            "submitting jobs needs the package submitit: pip install submitit. Without it, start "
            "'transfer_experiment.py PLAN run' on each machine; they share the folder."
        ) from error
    chosen = parse_settings(settings)
    jobs = int(chosen.pop("jobs", 1))
    executor = submitit.AutoExecutor(folder=str(Path(out) / "jobs"))
    executor.update_parameters(**chosen)
    invocation = uuid4().hex
    submitted = [
        executor.submit(run_worker, asdict(plan), str(out), invocation) for _ in range(jobs)
    ]
    return [job.job_id for job in submitted]


def parse_settings(settings: Sequence[str]) -> dict:
    """`key=value` texts as a dict; whole numbers as such."""
    chosen = {}
    for text in settings:
        key, sign, value = text.partition("=")
        if not sign:
            raise ValueError(f"--slurm {text!r} is not of the form key=value.")
        chosen[key] = int(value) if value.isdigit() else value
    return chosen


def run_worker(values: dict, out: str, invocation: str) -> None:
    """What a job does."""
    import torch

    from .cells import cells_of
    from .execution import work
    from .plan_file import plan_from

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    work(cells_of(plan_from(values)), Path(out), device=device, invocation=invocation)
