"""Dry run of a plan: estimated hours, and the smallest difference that it can detect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapters.transfer.plan.cell import FINETUNING, PRETRAINING, Cell, CellTable
from adapters.transfer.plan.plan import Comparison, Plan
from adapters.transfer.plan.rows import scored_rows
from adapters.transfer.run.cell_folder import CellFolder, CellFolderError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.statistics.comparison import cluster_ids, detectable_difference


@dataclass(frozen=True)
class Forecast:
    """Estimated cost and precision of a plan.

    Attributes:
        cells: (label, state, iterations, images, estimated hours or None) of every cell.
        hours: Number of workers -> estimated hours of the unfinished cells; empty if unknown.
        hours_known_from: Origin of the estimate.
        test_images, clusters, subjects: Numbers of scored images, of their clusters (subject,
            sequence) and of their subjects.
        detectable_mm: Smallest detectable difference; None without assumptions.
        assumed: Assumptions of `detectable_mm`.
    """

    cells: tuple[tuple[str, str, int, int, float | None], ...]
    hours: Mapping[int, float]
    hours_known_from: str
    test_images: int
    clusters: int
    subjects: int
    detectable_mm: float | None
    assumed: str


def forecast(plan: Plan, table: CellTable, out: Path, *, workers: int = 1) -> Forecast:
    """Estimate from finished cells if there are any, else from the plan's `planning`."""
    index = HandIndex.open(plan.test.index or plan.data["index"])
    tested = scored_rows(plan, index)
    clusters, subjects = count_clusters(index, tested)
    independent = subjects if plan.cluster_by == "subject" else clusters
    speed, origin = _images_per_s(plan, table, out)
    states = {cell.key: _state(out, cell) for cell in table.cells}
    hours = {cell.key: _hours(plan, cell, speed, len(tested)) for cell in table.cells}
    to_run = (
        {}
        if None in hours.values()
        else {key: 0.0 if states[key] == "finished" else each for key, each in hours.items()}
    )
    rows = [(c.label, states[c.key], c.iterations, c.images, hours[c.key]) for c in table.cells]
    assumed = plan.planning
    detectable = None
    if assumed.cluster_sd_mm is not None and assumed.seed_sd_mm is not None:
        detectable = detectable_difference(
            assumed.cluster_sd_mm / independent**0.5,
            assumed.seed_sd_mm / len(plan.seeds) ** 0.5,
            clusters=independent,
            seeds=len(plan.seeds),
        )
    return Forecast(
        cells=tuple(rows),
        hours={n: makespan(table, to_run, n) for n in sorted({1, 8, workers}) if to_run},
        hours_known_from=origin,
        test_images=len(tested),
        clusters=clusters,
        subjects=subjects,
        detectable_mm=detectable,
        assumed=(
            f"standard deviation of a difference {assumed.cluster_sd_mm} mm over clusters and "
            f"{assumed.seed_sd_mm} mm over seeds ({assumed.source})"
        ),
    )


def _hours(plan: Plan, cell: Cell, speed: Mapping, test_images: int) -> float | None:
    """Estimated hours of a cell: training, and predicting the test images where that is known."""
    rate = speed.get((cell.stage, cell.target), speed.get(cell.stage, speed.get(None)))
    if rate is None:
        return None
    seconds = cell.images / rate
    if cell.stage == FINETUNING and plan.planning.prediction_images_per_s is not None:
        seconds += test_images / plan.planning.prediction_images_per_s
    return seconds / 3600


def makespan(table: CellTable, hours: Mapping[str, float], workers: int) -> float:
    """Hours until all cells are done, where each worker takes the next cell that can begin.

    Args:
        table: the cells in their order.
        hours: of each cell by its key.
        workers: how many work at the same time.
    """
    free, done, waiting = [0.0] * workers, {}, list(table.cells)
    while waiting:
        free.sort()
        begins = [
            max(free[0], done.get(c.needs, 0.0 if c.needs is None else np.inf)) for c in waiting
        ]
        first = int(np.argmin(begins))
        cell = waiting.pop(first)
        free[0] = done[cell.key] = begins[first] + hours[cell.key]
    return max(done.values())


def count_clusters(index: HandIndex, rows) -> tuple[int, int]:
    """Count the (subject, sequence) clusters and the subjects of some rows."""
    sequence = index.values("sequence", rows)
    if "subject" not in index.columns:
        return len(set(sequence.tolist())), 1
    subject = index.values("subject", rows)
    return int(cluster_ids(subject, sequence).max()) + 1, len(set(subject.tolist()))


def clusters_text(plan: Plan, clusters: int, subjects: int) -> str:
    """Describe the test hands, and which of their groups are the clusters of the plan."""
    if plan.cluster_by == "subject":
        return f"{subjects} subjects, which are the clusters"
    return f"{clusters} clusters (subject, sequence) of {subjects} subjects"


def forecast_lines(plan: Plan, told: Forecast) -> Sequence[str]:
    """Format the forecast as lines of text."""
    lines = [f"Plan {plan.name}: {plan.question}", "", "Arms:"]
    lines += [f"  {name}: {arm.text or arm.starts_from}" for name, arm in plan.arms.items()]
    lines.append("Comparisons, with one Holm correction over all of them:")
    lines += [f"  {described(comparison)}" for comparison in plan.comparisons]
    lines += ["", f"{len(told.cells)} cells:"]
    width = max(len(label) for label, *_ in told.cells)
    lines.append(f"{'cell':{width}}  {'state':9} {'steps':>8} {'images':>11} {'hours':>7}")
    for label, state, iterations, images, hours in told.cells:
        shown = "?" if hours is None else f"{hours:.2f}"
        lines.append(f"{label:{width}}  {state:9} {iterations:8,} {images:11,} {shown:>7}")
    lines += ["", *_time_lines(told)]
    seeds = "1 seed" if len(plan.seeds) == 1 else f"{len(plan.seeds)} seeds"
    lines.append(
        f"Scored on {told.test_images:,} images: "
        f"{clusters_text(plan, told.clusters, told.subjects)}, {seeds}."
    )
    if told.detectable_mm is None:
        lines.append(
            "Minimum detectable difference: unknown. Give planning.cluster_sd_mm and "
            "planning.seed_sd_mm, from a pilot or an earlier report."
        )
    else:
        lines.append(
            f"Minimum detectable difference of one comparison (two-sided 5 %, power 80 %, before "
            f"Holm): {told.detectable_mm:.2f} mm, assuming {told.assumed}."
        )
        if len(plan.seeds) == 1:
            lines.append("This excludes the variance of training again, because there is one seed.")
    return lines


def described(comparison: Comparison) -> str:
    """Describe a declared comparison in one line."""
    sides = [comparison.arm, comparison.reference]
    if comparison.target != comparison.reference_target:
        sides[0] += f" in {comparison.target}"
        sides[1] += f" in {comparison.reference_target}"
    return f"{' minus '.join(sides)}. {comparison.text}".rstrip()


def _time_lines(told: Forecast) -> list[str]:
    if not told.hours:
        return [f"Time to run: unknown ({told.hours_known_from})."]
    times = ", ".join(
        f"{hours:,.2f} h with {n} worker{'s' * (n > 1)}" for n, hours in told.hours.items()
    )
    return [f"Estimated time to run, one GPU for each worker: {times} ({told.hours_known_from})."]


def _images_per_s(plan: Plan, table: CellTable, out: Path) -> tuple[dict, str]:
    """Speed by (stage, target), or under None for all."""
    measured: dict = {}
    for cell in table.cells:
        try:
            result = CellFolder(out, cell).result()
        except CellFolderError:
            continue
        if result is not None and not result["resumed"]:
            measured[cell.stage, cell.target] = cell.images / result["seconds"]
    if measured:
        measured[None] = min(measured.values())
        return measured, "from the cells that are finished"
    assumed = plan.planning
    if assumed.images_per_s is not None:
        rates = {None: assumed.images_per_s}
        if assumed.pretraining_images_per_s is not None:
            rates[PRETRAINING] = assumed.pretraining_images_per_s
        return rates, f"assumed throughput: {assumed.source}"
    return {}, "no cell is finished yet, and planning.images_per_s is not given"


def _state(out: Path, cell) -> str:
    try:
        return CellFolder(out, cell).state()
    except CellFolderError:
        return "unusable"
