"""Dry run of a plan: estimated hours, and the smallest difference that it can detect."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapters.transfer.plan.cell import FINETUNING, PRETRAINING, Cell, CellTable
from adapters.transfer.plan.plan import Comparison, Plan
from adapters.transfer.plan.rows import scored_rows
from adapters.transfer.run.cell_folder import FINISHED, CellFolder
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.statistics.comparison import cluster_ids, detectable_difference
from gesture_pretrain.tables import text_table

_BYTES_PER_HAND = 268  # row, side and 21 joints


@dataclass(frozen=True)
class Forecast:
    """Estimated cost and precision of a plan.

    Attributes:
        cells: (label, state, iterations, images, estimated hours or None) of every cell.
        hours: Number of workers -> estimated hours of the unfinished cells; empty if unknown.
        source: Origin of the estimate.
        test_images: Number of scored images.
        clusters: Number of their (subject, sequence) clusters.
        subjects: Number of their subjects.
        detectable_mm: Smallest detectable difference; None without assumptions.
    """

    cells: tuple[tuple[str, str, int, int, float | None], ...]
    hours: Mapping[int, float]
    source: str
    test_images: int
    clusters: int
    subjects: int
    detectable_mm: float | None


def forecast(plan: Plan, table: CellTable, out: Path, *, workers: int = 1) -> Forecast:
    """Estimate from finished cells if there are any, else from the plan's `planning`."""
    index = HandIndex.open(plan.test.index or plan.data["index"])
    tested = scored_rows(plan, index)
    clusters, subjects = count_clusters(index, tested)
    speed, source = _images_per_s(plan, table, out)
    states = {cell.key: CellFolder(out, cell).state() for cell in table.cells}
    hours = {cell.key: _hours(plan, cell, speed, len(tested)) for cell in table.cells}
    to_run = {key: 0.0 if states[key] == FINISHED else each for key, each in hours.items()}
    known = None not in hours.values()
    return Forecast(
        cells=tuple(
            (c.label, states[c.key], c.iterations, c.images, hours[c.key]) for c in table.cells
        ),
        hours={n: makespan(table, to_run, n) for n in sorted({1, 8, workers}) if known},
        source=source,
        test_images=len(tested),
        clusters=clusters,
        subjects=subjects,
        detectable_mm=_detectable(plan, subjects if plan.cluster_by == "subject" else clusters),
    )


def _detectable(plan: Plan, clusters: int) -> float | None:
    assumed, seeds = plan.planning, len(plan.seeds)
    if assumed.cluster_sd_mm is None or assumed.seed_sd_mm is None:
        return None
    return detectable_difference(
        assumed.cluster_sd_mm / clusters**0.5,
        assumed.seed_sd_mm / seeds**0.5,
        clusters=clusters,
        seeds=seeds,
    )


def _hours(plan: Plan, cell: Cell, speed: Mapping, test_images: int) -> float | None:
    """Estimate the hours of a cell: training and, if their speed is known, test predictions."""
    rate = speed.get((cell.stage, cell.target), speed.get(cell.stage, speed.get(None)))
    if rate is None:
        return None
    seconds = cell.images / rate
    if cell.stage == FINETUNING and plan.planning.prediction_images_per_s is not None:
        seconds += test_images / plan.planning.prediction_images_per_s
    return seconds / 3600


def least_bytes(plan: Plan, table: CellTable, out: Path) -> int:
    """Estimate how much space the missing predictions take at least, without their meshes."""
    index = HandIndex.open(plan.test.index or plan.data["index"])
    missing = [
        cell
        for cell in table.cells
        if cell.stage == FINETUNING and CellFolder(out, cell).state() != FINISHED
    ]
    files = len(missing) * (1 + len(plan.curve))
    return files * len(scored_rows(plan, index)) * _BYTES_PER_HAND


def makespan(table: CellTable, hours: Mapping[str, float], workers: int) -> float:
    """Return the hours until all cells are done; each worker takes the next cell that can begin.

    Args:
        table: The cells in their order.
        hours: Hours of each cell, by its key.
        workers: Number of workers.
    """
    free, done, waiting = [0.0] * workers, {}, list(table.cells)
    while waiting:
        free.sort()
        begins = [max([free[0], *(done.get(k, np.inf) for k in c.needed)]) for c in waiting]
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


def forecast_lines(plan: Plan, found: Forecast) -> list[str]:
    """Format the forecast as lines of text."""
    seeds = "1 seed" if len(plan.seeds) == 1 else f"{len(plan.seeds)} seeds"
    return [
        f"Plan {plan.name}: {plan.question}",
        "",
        "Arms:",
        *(f"  {name}: {arm.text or arm.starts_from}" for name, arm in plan.arms.items()),
        "Comparisons, with one Holm correction over all of them:",
        *(f"  {_described(comparison)}" for comparison in plan.comparisons),
        "",
        f"{len(found.cells)} cells:",
        text_table(
            ("cell", "state", "steps", "images", "hours"),
            (
                (label, state, f"{steps:,}", f"{images:,}", "?" if h is None else f"{h:.2f}")
                for label, state, steps, images, h in found.cells
            ),
        ),
        "",
        _time_line(found),
        f"Scored on {found.test_images:,} images: "
        f"{clusters_text(plan, found.clusters, found.subjects)}, {seeds}.",
        *_precision_lines(plan, found),
    ]


def _described(comparison: Comparison) -> str:
    sides = [comparison.arm, comparison.reference]
    if comparison.target != comparison.reference_target:
        sides[0] += f" in {comparison.target}"
        sides[1] += f" in {comparison.reference_target}"
    return f"{' minus '.join(sides)}. {comparison.text}".rstrip()


def _time_line(found: Forecast) -> str:
    if not found.hours:
        return f"Time to run: unknown ({found.source})."
    times = ", ".join(
        f"{hours:,.2f} h with {n} worker{'s' * (n > 1)}" for n, hours in found.hours.items()
    )
    return f"Estimated time to run, one GPU for each worker: {times} ({found.source})."


def _precision_lines(plan: Plan, found: Forecast) -> list[str]:
    if found.detectable_mm is None:
        return [
            "Minimum detectable difference: unknown. Give planning.cluster_sd_mm and "
            "planning.seed_sd_mm, from a pilot or an earlier report."
        ]
    assumed = plan.planning
    lines = [
        "Minimum detectable difference of one comparison (two-sided 5 %, power 80 %, before "
        f"Holm): {found.detectable_mm:.2f} mm, assuming a standard deviation of the difference of "
        f"{assumed.cluster_sd_mm} mm over clusters and {assumed.seed_sd_mm} mm over seeds "
        f"({assumed.source})."
    ]
    if len(plan.seeds) == 1:
        lines.append("This excludes the variance of training again, because there is one seed.")
    return lines


def _images_per_s(plan: Plan, table: CellTable, out: Path) -> tuple[dict, str]:
    """Return the speed by (stage, target), by stage, or under None for all, and its origin."""
    measured: dict = {}
    for cell in table.cells:
        folder = CellFolder(out, cell)
        result = folder.result() if folder.state() == FINISHED else None
        if result is not None and not result["resumed"]:
            measured[cell.stage, cell.target] = cell.images / result["seconds"]
    if measured:
        return {**measured, None: min(measured.values())}, "from the cells that are finished"
    assumed = plan.planning
    if assumed.images_per_s is None:
        return {}, "no cell is finished yet, and planning.images_per_s is not given"
    rates = {None: assumed.images_per_s}
    if assumed.pretraining_images_per_s is not None:
        rates[PRETRAINING] = assumed.pretraining_images_per_s
    return rates, f"assumed throughput: {assumed.source}"
