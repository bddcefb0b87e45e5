"""Run, inspect or report a transfer study.

    %(prog)s table2 run --data INDEX --dry-run
    %(prog)s demo run --data INDEX --out DIR --workers 2
    %(prog)s demo status --data INDEX --out DIR
    %(prog)s demo report --data INDEX --out DIR

PLAN is the name of a shipped plan (configs/experiments) or the path of a file. Finished cells are
never run again, a killed one continues from its last checkpoint, and a failed one does not stop the
others; the same command continues where the last one stopped. Any number of these commands may work
on one folder, also from several machines. `--slurm` submits them as jobs through submitit, and with
`wait=1` waits until they have ended:

    %(prog)s table2 run --slurm jobs=8 timeout_min=600 gpus_per_node=1

To run one cell on several GPUs, start tools/transfer_experiment.py with torchrun and `--only CELL`.

Exit status: 0 done, 1 wrong input or a leak, 2 some cells failed, 3 stopped early and resumable,
130 interrupted.
"""

import argparse
from pathlib import Path

from gesture_pretrain.commands.options import add_data, add_out, add_overrides

SOME_FAILED = 2
AFTER_INTERRUPTION = " The same command continues."
MANO_HINT = (
    "On this command line: finetuning.hand_model.path=PATH, or, for data rendered with the bundled "
    "hand model, finetuning.hand_model.path=open finetuning.hand_model.tip_convention=smplx"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("plan", help="name of a shipped plan of configs/experiments, or a file")
    parser.add_argument(
        "action",
        choices=("run", "status", "report"),
        help="run the unfinished cells, list the cells and their cost, or write the report",
    )
    add_data(parser, "the plan's")
    add_out(parser, "folder of the study (default: runs/experiment_<plan>)", type=Path)
    run = parser.add_argument_group("run")
    run.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one per GPU, else one)"
    )
    run.add_argument("--dry-run", action="store_true", help="print what would be run, as status")
    run.add_argument(
        "--only", metavar="CELL", help="run one cell that `status` lists (default: all)"
    )
    run.add_argument(
        "--slurm", nargs="+", metavar="key=value", help="submit jobs (default: run here)"
    )
    add_overrides(parser, "finetuning.hand_model.path=open")


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from adapters.transfer.run.execution import quiet_warnings
    from adapters.transfer.study import open_study

    quiet_warnings()
    study = open_study(
        options.plan, data=options.data, out=options.out, overrides=options.overrides
    )
    if options.action == "report":
        print(f"Report {study.report()}")
    elif options.action == "status" or options.dry_run:
        study.audit(write=False)
        print(study.status(workers=options.workers or 1))
    elif options.only:
        study.run_cell(options.only)
    elif options.slurm:
        return submit(study, options.slurm)
    else:
        return print_outcome(study.run(workers=options.workers))
    return 0


def submit(study, settings: list[str]) -> int:
    """Submit workers as jobs of a cluster; `wait=1` waits for them and prints the outcome."""
    from adapters.transfer.run.cluster import failed_jobs, parse_settings

    chosen = parse_settings(settings)
    wait = chosen.pop("wait", 0)
    jobs = study.submit(chosen)
    for job in jobs:
        print(f"Submitted {job.job_id}, log {job.paths.stderr}", flush=True)
    if not wait:
        return 0
    for number, error in failed_jobs(jobs).items():
        print(f"Job {number} failed: {error}")
    return print_outcome(study.outcome())


def print_outcome(outcome) -> int:
    """Print how the cells ended; returns the exit status."""
    print(f"{len(outcome.finished)} cells finished.")
    for label, error in outcome.failed.items():
        print(f"Failed: {label}: {error}")
    for label, before in outcome.blocked.items():
        print(f"Not run: {label}, which needs {before}")
    return 0 if outcome.is_complete else SOME_FAILED
