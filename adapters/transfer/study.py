"""A transfer study as calls: audit and run its cells, forecast what is left, write the report."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.transfer.plan.audit import audit_plan, not_audited
from adapters.transfer.plan.cell import CellTable
from adapters.transfer.plan.cells import cells_of
from adapters.transfer.plan.file import read_plan
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.execution import Outcome, outcome, run_one, run_plan
from adapters.transfer.run.forecast import forecast, forecast_lines, least_bytes
from gesture_pretrain.config.override import Overrides
from gesture_pretrain.data.index.leakage import require_no_leaks
from gesture_pretrain.files import require_space, write_bytes_atomically


@dataclass(frozen=True)
class Study:
    """A plan, its cells, and the folder they are run in.

    Attributes:
        plan: The plan with all overrides.
        cells: Every training run of the plan.
        out: Folder of the study.
        say: Receives lines of text.
    """

    plan: Plan
    cells: CellTable
    out: Path
    say: Callable[[str], None] = print

    def audit(self, *, write: bool) -> None:
        """Print the leakage audit.

        Args:
            write: Also store it, with the plan, in `<out>/plans`.

        Raises:
            LeakageError: A leak that the plan does not allow by name.
        """
        audits = audit_plan(self.plan, self.cells)
        for stage, audit in audits.items():
            self.say(f"Leakage audit, {stage}: " + " ".join(audit.sentences()))
        for sentence in not_audited(self.plan):
            self.say(sentence)
        if write:
            content = {
                "stages": {s: a.to_dict() for s, a in audits.items()},
                "plan": asdict(self.plan),
                "not_audited": not_audited(self.plan),
            }
            path = self.out / "plans" / f"{self.plan.name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes_atomically(path, json.dumps(content, indent=1).encode())
        require_no_leaks(audits, self.plan.allowed_leaks)

    def status(self, *, workers: int = 1) -> str:
        """Format the state of every cell and a forecast of the remaining time."""
        left = forecast(self.plan, self.cells, self.out, workers=workers)
        return "\n".join(forecast_lines(self.plan, left))

    def run(self, *, workers: int | None = None) -> Outcome:
        """Audit, then run all cells that are not finished.

        Args:
            workers: Processes. Default: one per GPU, or one.

        Raises:
            LeakageError: A leak that the plan does not allow by name.
            DiskFull: There is less space than the predictions need at least.
        """
        self._prepare()
        return run_plan(self.plan, self.out, workers=workers, say=self.say)

    def run_cell(self, label: str) -> None:
        """Audit, then run one cell; under torchrun with all processes.

        Args:
            label: Name of the cell as `status` lists it.
        """
        self.audit(write=int(os.environ.get("RANK", 0)) == 0)  # the process group starts later
        run_one(self.cells, self.out, label)

    def submit(self, settings: Mapping[str, object]) -> list:
        """Audit, then submit workers as jobs of a cluster; returns the jobs.

        Args:
            settings: See `adapters.transfer.run.cluster.submit_workers`.
        """
        from adapters.transfer.run.cluster import submit_workers

        self._prepare()
        return submit_workers(self.plan, self.out, dict(settings))

    def _prepare(self) -> None:
        require_space(self.out, least_bytes(self.plan, self.cells, self.out))
        self.audit(write=True)

    def outcome(self) -> Outcome:
        """Which cells are finished, failed or blocked."""
        return outcome(self.cells, self.out)

    def report(self, *, command: str | None = None) -> Path:
        """Score the finished cells and write the report; returns its path.

        Args:
            command: Command line to record. Default: that of this process.
        """
        from adapters.transfer.report.build import write_report

        command = shlex.join(["python", *sys.argv]) if command is None else command
        return write_report(self.plan, self.cells, self.out, command=command)


def open_study(
    plan: str | Path | Mapping[str, Any],
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    overrides: Overrides = (),
    say: Callable[[str], None] = print,
) -> Study:
    """Open a transfer study; nothing is run yet.

    Args:
        plan: Name of a shipped plan ("table2"), path of a plan file, or the values of a plan.
        data: Index, or dataset that contains one. Default: `data.index` of the plan.
        out: Folder of the study, which several plans may share. Default: `runs/experiment_<plan>`.
        overrides: Changes to the plan, see `apply_overrides`.
        say: Receives lines of text.

    Raises:
        PlanError, ValueError: A value of the plan or an override is impossible.
        NotADirectoryError: `out` is a file.
    """
    read = read_plan(plan, overrides, index=data)
    folder = Path(out or Path("runs") / f"experiment_{read.name}")
    _require_folder(folder)
    cells = cells_of(read)
    for arm, reason in cells.left_out.items():
        say(f"Arm {arm} is left out: {reason}")
    return Study(read.without_arms(cells.left_out), cells, folder, say)


def _require_folder(out: Path) -> None:
    existing = next(path for path in (out, *out.parents) if path.exists())
    if not existing.is_dir():
        raise NotADirectoryError(
            f"{existing} is a file. `out` must be the folder of the study, or a folder that does "
            "not exist yet."
        )
