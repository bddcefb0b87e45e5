"""Execution of the cells of a plan by any number of workers, on any number of machines.

A worker goes through the cells repeatedly and takes the first one that can run and that is not
locked. Workers communicate only through the folders of the cells, so they may be started together,
by another plan, or on another machine.
"""

import gc
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import torch

from adapters.transfer.plan.cell import Cell, CellTable
from adapters.transfer.plan.cells import cells_of
from adapters.transfer.plan.file import plan_from
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.cell_folder import CellFolder, CellFolderError
from adapters.transfer.run.cell_lock import cell_lock, delete_dead_holder
from gesture_pretrain.training.stopped import ToldToEnd, sigterm_raised

_LOOK_AGAIN_S = 0.5

RunCell = Callable[..., None]


@dataclass
class Outcome:
    """States of the cells of a plan after a run.

    Attributes:
        finished: Labels of finished cells.
        failed: Label -> first line of the error.
        blocked: Label -> label of the failed cell that it waits for.
    """

    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every cell is finished."""
        return not self.failed and not self.blocked


def run_plan(
    plan: Plan,
    out: Path,
    *,
    workers: int | None = None,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Run all cells that are not finished.

    Args:
        plan: Plan, audited for leaks by the caller.
        out: Folder of the study, which several plans may share.
        workers: Number of processes; None for one per CUDA device, or one without CUDA. With one,
            the cells run in this process.
        say: Receives a line per event.
    """
    table = cells_of(plan)
    devices = _devices(workers)
    invocation = uuid4().hex
    if len(devices) == 1:
        work(table, out, device=devices[0], invocation=invocation, say=say)
    else:
        _start_workers(plan, out, devices, invocation, say)
    return outcome(table, out)


def work(
    table: CellTable,
    out: Path,
    *,
    device: str,
    invocation: str,
    say: Callable[[str], None] = print,
    run_cell: RunCell | None = None,
    ends_work: tuple[type[BaseException], ...] = (),
) -> None:
    """Run cells as one worker, until there is none left that it could run.

    Use one worker per process, because the standard output of a cell is redirected to its folder.

    Args:
        table: Cells of the plan.
        out: Folder of the study.
        device: Device for training.
        invocation: Name of this run. A cell that fails is not tried again in the same run.
        say: Receives a line per event.
        run_cell: Replaces `stages.run_cell`.
        ends_work: Errors that end the worker instead of failing the cell, which can be resumed.
            SIGTERM always does.

    Raises:
        ToldToEnd: The worker received SIGTERM during a training.
    """
    if run_cell is None:
        from adapters.transfer.run.stages import run_cell  # slow to import; a status needs none
    folders = {cell.key: CellFolder(out, cell) for cell in table.cells}
    for folder in folders.values():
        delete_dead_holder(folder.path)
    while True:
        waiting, did_one = 0, False
        for number, cell in enumerate(table.cells, 1):
            state = _turn(cell, folders, invocation)
            waiting += state == "wait"
            if state != "ready":
                continue
            with cell_lock(folders[cell.key].path) as mine:
                # another worker may have finished it between the look and the lock
                if not mine or _turn(cell, folders, invocation) != "ready":
                    waiting += not mine
                    continue
                say(f"[{number}/{len(table.cells)}] {cell.label} on {device}")
                _attempt(cell, folders, device, invocation, say, run_cell, ends_work)
                did_one = True
        if not did_one and not waiting:
            return
        if not did_one:
            time.sleep(_LOOK_AGAIN_S)


def run_one(table: CellTable, out: Path, label: str, *, device: str = "auto") -> None:
    """Run one cell in this process, or in all processes that torchrun has started.

    Args:
        table: Cells of the plan.
        out: Folder of the study.
        label: Label of the cell.
        device: See `choose_device`.

    Raises:
        ValueError: There is no such cell, another process works in it, or it needs a cell that is
            not finished. Errors of the run itself are not caught.
    """
    from adapters.transfer.run.stages import run_cell

    folders = {cell.key: CellFolder(out, cell) for cell in table.cells}
    named = {cell.label: cell for cell in table.cells}
    if label not in named:
        raise ValueError(f"the plan has no cell {label!r}; it has {', '.join(named)}.")
    cell = named[label]
    folder = folders[cell.key]
    if folder.result() is not None:
        return
    for key in cell.needed:
        if folders[key].result() is None:
            raise ValueError(f"{label} needs {folders[key].cell.label}, which is not finished.")
    weights, rate = _weights(cell, folders), _rate(cell, folders)
    if int(os.environ.get("RANK", 0)):
        run_cell(folder, weights, device=device, **rate)
        return
    with cell_lock(folder.path) as mine:
        if not mine:
            raise ValueError(f"another process works in {folder.path}.")
        folder.prepare()
        run_cell(folder, weights, device=device, **rate)


def outcome(table: CellTable, out: Path) -> Outcome:
    """Return the current states of the cells."""
    result = Outcome()
    folders = {cell.key: CellFolder(out, cell) for cell in table.cells}
    for cell in table.cells:
        folder = folders[cell.key]
        if _result(folder) is not None:
            result.finished.append(cell.label)
        elif missing := [key for key in cell.needed if _result(folders[key]) is None]:
            result.blocked[cell.label] = folders[missing[0]].cell.label
        else:
            failure = folder.failure()
            result.failed[cell.label] = (
                "did not run" if failure is None else failure["error"].splitlines()[0]
            )
    return result


def _turn(cell: Cell, folders: Mapping[str, CellFolder], invocation: str) -> str:
    """Return "ready", "wait" (for another cell), or "done" (finished, failed here, or blocked)."""
    folder = folders[cell.key]
    if _failed_in(folder, invocation) or _result(folder) is not None:
        return "done"
    missing = [key for key in cell.needed if _result(folders[key]) is None]
    if not missing:
        return "ready"
    return "done" if any(_is_stuck(key, folders, invocation) for key in missing) else "wait"


def _is_stuck(key: str, folders: Mapping[str, CellFolder], invocation: str) -> bool:
    """Return whether a cell, or one that it needs, failed in this invocation."""
    needed = folders[key].cell.needed
    return _failed_in(folders[key], invocation) or any(
        _is_stuck(before, folders, invocation) for before in needed
    )


def _result(folder: CellFolder) -> dict | None:
    try:
        return folder.result()
    except CellFolderError:
        return None  # reported when the cell is run


def _failed_in(folder: CellFolder, invocation: str) -> bool:
    failure = folder.failure()
    return failure is not None and invocation in failure["invocations"]


def _attempt(cell, folders, device, invocation, say, run_cell: RunCell, ends_work) -> None:
    folder = folders[cell.key]
    begun = time.monotonic()
    try:
        folder.prepare()
        with (folder.path / "output.txt").open("a") as file, redirect_stdout(file):
            run_cell(folder, _weights(cell, folders), device=device, **_rate(cell, folders))
    except (ToldToEnd, *ends_work):
        raise
    except Exception as error:  # the other cells still run
        folder.fail(error, invocation)
        say(f"    failed: {type(error).__name__}: {str(error).splitlines()[0]}")
        say(f"    see {folder.path / 'failure.json'}; continuing with the other cells")
        return
    finally:
        if device != "cpu":
            gc.collect()  # a run holds its loaders and its model in cycles
            torch.cuda.empty_cache()
    say(f"    finished in {time.monotonic() - begun:.0f} s")


def _weights(cell: Cell, folders: Mapping[str, CellFolder]) -> Path | None:
    if cell.needs is None:
        return None
    before = folders[cell.needs]
    result = before.result(verify=True)
    if result is None:
        raise CellFolderError(
            f"the weights in {before.path} are not what was exported there (hash differs). Delete "
            "the folder to pretrain again."
        )
    return before.path / result["weights"]


def _rate(cell: Cell, folders: Mapping[str, CellFolder]) -> dict[str, float]:
    """Return the learning rate that the rule of the plan chooses, as argument of `run_cell`."""
    if not cell.candidates:
        return {}
    errors = {
        rate: folders[key].result()["metrics"]["mpjpe_mm"] for rate, key in cell.candidates.items()
    }
    return {"lr": min(errors, key=errors.get)}


def _devices(workers: int | None) -> list[str]:
    count = torch.cuda.device_count()
    if workers is None:
        workers = max(1, count)
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, got {workers}.")
    return [f"cuda:{i % count}" if count else "cpu" for i in range(workers)]


def _start_workers(plan: Plan, out: Path, devices: list[str], invocation: str, say) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_worker, args=(asdict(plan), str(out), device, invocation))
        for device in devices
    ]
    try:
        with sigterm_raised(lambda: "The study was terminated (SIGTERM)."):
            for process in processes:
                process.start()
            for process in processes:
                process.join()
    except BaseException:
        for process in processes:
            if process.pid is not None:
                process.terminate()
        raise
    for process, device in zip(processes, devices, strict=True):
        if process.exitcode:
            say(f"A worker on {device} ended with status {process.exitcode}; see above.")


def _worker(values: dict, out: str, device: str, invocation: str) -> None:
    quiet_warnings()
    torch.set_num_threads(1 if device == "cpu" else torch.get_num_threads())
    say = partial(print, flush=True)  # lines of several workers appear in their order
    try:
        work(cells_of(plan_from(values)), Path(out), device=device, invocation=invocation, say=say)
    except ToldToEnd as error:
        raise SystemExit(f"The worker on {device} stopped. {error}") from None


def quiet_warnings() -> None:
    """Silence deprecation warnings of libraries."""
    import warnings

    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message="Multi-processing start method")  # mmengine's
