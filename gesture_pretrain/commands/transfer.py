"""Runs, watches and reports a transfer experiment.

    python tools/transfer_experiment.py PLAN run [--data INDEX] [--out DIR] [--workers N]
    python tools/transfer_experiment.py PLAN run --dry-run
    python tools/transfer_experiment.py PLAN status
    python tools/transfer_experiment.py PLAN report

PLAN is a file of configs/experiments. Finished cells are never run again, a killed one goes on from
its last checkpoint, a failed one does not stop the others; the same command picks up where it was.
Any number of these commands may work on one folder, from several machines too; `--slurm` submits
them as jobs, by the package submitit, and with `wait=1` stays until they have ended:

    python tools/transfer_experiment.py PLAN run --slurm jobs=8 timeout_min=600 gpus_per_node=1

One cell on several GPUs:

    torchrun --nproc-per-node 4 tools/transfer_experiment.py PLAN run --only CELL

Exit status: 0 done, 1 wrong input or a leak, 2 some cells failed, 130 interrupted.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch.distributed

from adapters.transfer.plan.audit import audit_plan, not_audited
from adapters.transfer.plan.cells import CellTable, cells_of
from adapters.transfer.plan.file import read_plan
from adapters.transfer.plan.forecast import forecast, forecast_lines
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.execution import Outcome, outcome, quiet_warnings, run_one, run_plan
from gesture_pretrain.data.index.leakage import require_no_leaks
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.hand.mano_file import MissingManoFile

WRONG_INPUT, SOME_FAILED, INTERRUPTED = 1, 2, 130
MANO_HINT = (
    "On this command line: finetuning.hand_model.path=PATH, or, for data rendered with the open "
    "hand, finetuning.hand_model.path=open finetuning.hand_model.tip_convention=smplx"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line asks for; returns the exit status."""
    options = parse_arguments(arguments)
    overrides = list(options.overrides)
    if options.data is not None:
        overrides.append(f"data.index={options.data!r}")
    plan = read_plan(options.plan, overrides)
    out = options.out or Path("runs") / f"experiment_{plan.name}"
    require_folder(out)
    table = cells_of(plan)
    for arm, reason in table.left_out.items():
        print(f"Arm {arm} is left out: {reason}")
    if options.action == "report":
        return report(plan, table, out)
    if options.action == "status" or options.dry_run:
        show_audit(plan, table, out, write=False)
        print(
            "\n".join(
                forecast_lines(plan, forecast(plan, table, out, workers=options.workers or 1))
            )
        )
        return 0
    show_audit(plan, table, out, write=int(os.environ.get("RANK", 0)) == 0)
    if options.only:
        run_one(table, out, options.only)
        return 0
    if options.slurm:
        return submit(plan, table, out, options.slurm)
    result = run_plan(plan, out, workers=options.workers)
    return tell(result)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path, help="a file of configs/experiments")
    parser.add_argument(
        "action",
        choices=("run", "status", "report"),
        help="run what is not finished; list the cells and what they take; write the report",
    )
    parser.add_argument(
        "--data", metavar="INDEX", help="index, or data set with one (default: the plan's)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the experiment (default: runs/experiment_<plan>)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one per GPU, else one)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be run")
    parser.add_argument(
        "--only", metavar="CELL", help="run one cell that `status` lists (default: all)"
    )
    parser.add_argument(
        "--slurm", nargs="+", metavar="key=value", help="submit jobs, see above (default: run here)"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes to the plan, e.g. finetuning.hand_model.path=open",
    )
    return parser.parse_intermixed_args(arguments)


def require_folder(out: Path) -> None:
    """Raises NotADirectoryError where `--out`, or a folder it is to be in, is a file."""
    existing = next(path for path in (out, *out.parents) if path.exists())
    if not existing.is_dir():
        raise NotADirectoryError(
            f"{existing} is a file; --out must be the folder of the experiment. Give that folder, "
            "or one that does not exist yet."
        )


def show_audit(plan: Plan, table: CellTable, out: Path, *, write: bool) -> None:
    """Audits the plan for leaks and prints what was found.

    Raises:
        LeakageError: a leak that the plan does not name.
    """
    audits = audit_plan(plan, table)
    for stage, audit in audits.items():
        print(f"Leakage audit, {stage}: " + " ".join(audit.sentences()))
    for sentence in not_audited(plan):
        print(sentence)
    if write:
        content = {"stages": {s: a.to_dict() for s, a in audits.items()}, "plan": asdict(plan)}
        content["not_audited"] = not_audited(plan)
        path = out / "plans" / f"{plan.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, json.dumps(content, indent=1).encode())
    require_no_leaks(audits, plan.allowed_leaks)


def submit(plan: Plan, table: CellTable, out: Path, settings: Sequence[str]) -> int:
    """Submits workers as jobs of a cluster; `wait=1` waits for them and tells what came of it."""
    from adapters.transfer.run.cluster import failed_jobs, parse_settings, submit_workers

    chosen = parse_settings(settings)
    wait = chosen.pop("wait", 0)
    jobs = submit_workers(plan, out, chosen)
    for job in jobs:
        print(f"Submitted {job.job_id}, log {job.paths.stderr}", flush=True)
    if not wait:
        return 0
    for number, error in failed_jobs(jobs).items():
        print(f"Job {number} failed: {error}")
    return tell(outcome(table, out))


def report(plan: Plan, table: CellTable, out: Path) -> int:
    """Scores what is finished and writes the report."""
    from adapters.transfer.report.build import write_report

    path = write_report(plan, table, out, command=shlex.join(["python", *sys.argv]))
    print(f"Report {path}")
    return 0


def tell(result: Outcome) -> int:
    """Prints how the cells stand."""
    print(f"{len(result.finished)} cells finished.")
    for label, error in result.failed.items():
        print(f"Failed: {label}: {error}")
    for label, before in result.blocked.items():
        print(f"Not run: {label}, which needs {before}")
    return 0 if result.is_complete else SOME_FAILED


def run(arguments: Sequence[str] | None = None) -> int:
    """`main` with errors as one message and an exit status."""
    quiet_warnings()
    try:
        return main(arguments)
    except MissingManoFile as error:
        print(f"\nError: {error}\n{MANO_HINT}", file=sys.stderr)
        return WRONG_INPUT
    except (ValueError, OSError) as error:
        print(f"\nError: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on.", file=sys.stderr)
        return INTERRUPTED
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(run())
