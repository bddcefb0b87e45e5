"""Before anything runs: what a plan takes, and what it could find."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.transfer.plan.cells import CellTable, scored_rows
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.cell_folder import CellFolder, CellFolderError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.statistics.comparison import cluster_ids, detectable_difference


@dataclass(frozen=True)
class Forecast:
    """What a plan takes.

    Attributes:
        cells: (label, state, iterations, images, estimated hours or None) of every cell.
        hours: of the cells that are not finished, over all workers; None where nothing is known.
        hours_known_from: where the estimate comes from.
        test_images, clusters, subjects: what is scored.
        detectable_mm: the smallest difference that the plan can find; None where nothing is
            assumed.
        assumed: what that rests on.
    """

    cells: tuple[tuple[str, str, int, int, float | None], ...]
    hours: float | None
    hours_known_from: str
    test_images: int
    clusters: int
    subjects: int
    detectable_mm: float | None
    assumed: str


def forecast(plan: Plan, table: CellTable, out: Path, *, workers: int = 1) -> Forecast:
    """The forecast of a plan, from finished cells where there are any, else from `planning`."""
    index = HandIndex.open(plan.test.index or plan.data["index"])
    clusters, subjects = count_clusters(index, scored_rows(plan, index))
    speed, origin = _images_per_s(plan, table, out)
    rows, seconds = [], 0.0
    for cell in table.cells:
        state = _state(out, cell)
        rate = speed.get((cell.stage, cell.target), speed.get(None))
        hours = None if rate is None else cell.images / rate / 3600
        if state != "finished" and hours is not None:
            seconds += 3600 * hours
        rows.append((cell.label, state, cell.iterations, cell.images, hours))
    assumed = plan.planning
    detectable = None
    if assumed.cluster_sd_mm is not None and assumed.seed_sd_mm is not None:
        detectable = detectable_difference(
            assumed.cluster_sd_mm / clusters**0.5,
            assumed.seed_sd_mm / len(plan.seeds) ** 0.5,
            clusters=clusters,
            seeds=len(plan.seeds),
        )
    return Forecast(
        cells=tuple(rows),
        hours=seconds / 3600 / workers if speed else None,
        hours_known_from=origin,
        test_images=len(scored_rows(plan, index)),
        clusters=clusters,
        subjects=subjects,
        detectable_mm=detectable,
        assumed=(
            f"standard deviation of a difference {assumed.cluster_sd_mm} mm over clusters and "
            f"{assumed.seed_sd_mm} mm over seeds ({assumed.source})"
        ),
    )


def count_clusters(index: HandIndex, rows) -> tuple[int, int]:
    """Numbers of (subject, sequence) clusters and of subjects among some rows."""
    sequence = index.values("sequence", rows)
    if "subject" not in index.columns:
        return len(set(sequence.tolist())), 1
    subject = index.values("subject", rows)
    return int(cluster_ids(subject, sequence).max()) + 1, len(set(subject.tolist()))


def forecast_lines(plan: Plan, told: Forecast) -> Sequence[str]:
    """The forecast as text."""
    lines = [f"Plan {plan.name}: {len(told.cells)} cells", ""]
    width = max(len(label) for label, *_ in told.cells)
    lines.append(f"{'cell':{width}}  {'state':9} {'steps':>8} {'images':>11} {'hours':>7}")
    for label, state, iterations, images, hours in told.cells:
        shown = "?" if hours is None else f"{hours:.2f}"
        lines.append(f"{label:{width}}  {state:9} {iterations:8,} {images:11,} {shown:>7}")
    hours = "unknown" if told.hours is None else f"{told.hours:.2f} h"
    lines += ["", f"Time to go: {hours} ({told.hours_known_from})."]
    seeds = "1 seed" if len(plan.seeds) == 1 else f"{len(plan.seeds)} seeds"
    lines.append(
        f"Scored on {told.test_images:,} images: {told.clusters} clusters (subject, sequence) of "
        f"{told.subjects} subjects, {seeds}."
    )
    if told.detectable_mm is None:
        lines.append(
            "Smallest difference that the plan can detect: unknown; give planning.cluster_sd_mm "
            "and planning.seed_sd_mm, from a pilot or an earlier report."
        )
    else:
        lines.append(
            f"Smallest difference that the plan can detect (two-sided 5 %, power 80 %): "
            f"{told.detectable_mm:.2f} mm, assuming {told.assumed}."
        )
        if len(plan.seeds) == 1:
            lines.append("One seed: that leaves out the spread from training again.")
    return lines


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
    if plan.planning.images_per_s is not None:
        return {None: plan.planning.images_per_s}, f"assumed speed: {plan.planning.source}"
    return {}, "no cell is finished yet, and planning.images_per_s is not given"


def _state(out: Path, cell) -> str:
    try:
        return CellFolder(out, cell).state()
    except CellFolderError:
        return "unusable"
