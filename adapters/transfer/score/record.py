"""Record of a study: cells, cost, versions, chosen learning rates, and ledgers."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from adapters.swap.ledger import counts_table
from adapters.transfer.plan.cell import FINETUNING, SELECTION, CellTable
from adapters.transfer.plan.initial_weights import stored_records
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.cell_folder import CellFolder
from adapters.transfer.score.results import percent
from gesture_pretrain.report.frames import texts_frame


def cell_table(table: CellTable, out: Path) -> pd.DataFrame:
    """Build the table of every run, its cost, and the folder with its configuration."""
    rows = []
    for cell in table.cells:
        folder = CellFolder(out, cell)
        result = folder.result() or {}
        rows.append(
            {
                "cell": f"cells/{cell.folder_name}",
                "state": folder.state() + (", resumed" if result.get("resumed") else ""),
                "steps x images": f"{cell.iterations:,} x {cell.batch_size}",
                "minutes": f"{result['seconds'] / 60:.1f}" if result else None,
                "device": result.get("device", ""),
                "commit": _commit(result)[:12] if result else "",
            }
        )
    return texts_frame(rows, ["cell", "state", "steps x images", "minutes", "device", "commit"])


def _commit(result: Mapping) -> str:
    return result["commit"] or "unknown"  # if run outside of a git checkout


def ledgers(table: CellTable, out: Path) -> dict[str, str]:
    """Format the counts of the swap ledgers, by target and arm."""
    found = {}
    for cell in table.cells:
        path = CellFolder(out, cell).run / "ledger.json"
        name = f"{cell.target}, {cell.arm}"
        if cell.stage == FINETUNING and name not in found and path.exists():
            content = json.loads(path.read_text())
            lines = [counts_table(content["counts"]), f"complete: {content['complete']}"]
            lines += [f"{key}: {str(v)[:16]}" for key, v in content["fingerprints"].items()]
            found[name] = "\n".join(lines)
    return found


def compute_of_stored(plan: Plan) -> list[str]:
    """Describe what the stored weights cost according to their cards, a line each."""
    lines = []
    for arm, record in stored_records(plan).items():
        steps = record.metrics.get("iterations")
        batch = (record.config or {}).get("data", {}).get("batch_size")
        cost = "cost not in its card" if steps is None else f"{steps:,.0f} steps of {batch} images"
        lines.append(f"pretraining, {arm}: {cost}, 1 run, stored as {record.name}")
    return lines


def compute(table: CellTable) -> list[str]:
    """Describe the steps and images of each stage, a line per arm."""
    costs = Counter(
        (cell.stage, cell.arm, cell.iterations, cell.batch_size) for cell in table.cells
    )
    return [
        f"{stage}, {arm}: {iterations:,} steps of {batch} images, {count} runs"
        for (stage, arm, iterations, batch), count in costs.items()
    ]


def learning_rate_lines(table: CellTable, out: Path) -> list[str]:
    """Describe the choice for each arm in each target, a line each; [] without a rule."""
    tried: dict[tuple[str, str], dict[float, float | None]] = {}
    for cell in table.cells:
        if cell.stage == SELECTION:
            result = CellFolder(out, cell).result()
            rate = cell.config["sections"]["optimizer"]["lr"]
            error_mm = None if result is None else result["metrics"]["mpjpe_mm"]
            tried.setdefault((cell.target, cell.arm), {})[rate] = error_mm
    return [_rate_line(*place, errors) for place, errors in tried.items()]


def _rate_line(target: str, arm: str, errors_mm: dict[float, float | None]) -> str:
    finished = {rate: error for rate, error in errors_mm.items() if error is not None}
    complete = len(finished) == len(errors_mm)
    chosen = f"{min(finished, key=finished.get):g}" if complete else "not chosen yet"
    errors = ", ".join(f"{error:.1f} mm at {rate:g}" for rate, error in finished.items())
    return f"learning rate, {target}, {arm}: {chosen}; validation MPJPE {errors}"


def noted_values(table: CellTable, out: Path) -> list[str]:
    """Describe values that networks report after training, such as gates: means over the seeds."""
    noted: dict[tuple, dict[str, list[float]]] = {}
    for cell in table.cells:
        result = CellFolder(out, cell).result() if cell.stage == FINETUNING else None
        for name, value in (result or {}).get("values", {}).items():
            place = cell.target, cell.arm, cell.fraction
            noted.setdefault(place, {}).setdefault(name, []).append(value)
    return [
        f"{target}, {arm}, {percent(fraction)} labels: "
        + ", ".join(f"{name} {np.mean(each):.4f}" for name, each in values.items())
        for (target, arm, fraction), values in noted.items()
    ]


def facts(table: CellTable, out: Path) -> dict[str, str]:
    """Return hours, devices, commits and library versions of the finished cells."""
    results = [CellFolder(out, cell).result() for cell in table.cells]
    results = [result for result in results if result is not None]
    if not results:
        return {"cells": f"0 of {len(table.cells)} finished"}
    seconds = sum(result["seconds"] for result in results)
    resumed = sum(result["resumed"] for result in results)
    commits = sorted({_commit(result) for result in results})
    found = {
        "cells": f"{len(results)} of {len(table.cells)} finished",
        "hours": f"{seconds / 3600:.2f}"
        + (
            f" (without the time of {resumed} resumed cells before their last start)"
            if resumed
            else ""
        ),
        "devices": ", ".join(sorted({result["device"] for result in results})),
        "commits": ", ".join(commits),
    }
    if len(commits) > 1:
        found["note"] = "The cells were run by several versions of the code; see their result.json."
    names = dict.fromkeys(name for result in results for name in result["versions"])
    for name in names:
        versions = dict.fromkeys(str(r["versions"].get(name, "not installed")) for r in results)
        found[name] = ", ".join(versions)
    return found
