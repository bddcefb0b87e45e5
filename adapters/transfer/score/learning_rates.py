"""The learning rates that the rule of a plan chose."""

from pathlib import Path

from adapters.transfer.plan.cell import SELECTION, CellTable
from adapters.transfer.run.cell_folder import CellFolder


def learning_rate_lines(table: CellTable, out: Path) -> list[str]:
    """Describe the choice for each arm in each target, a line each; [] without a rule."""
    tried: dict[tuple[str, str], dict[float, float | None]] = {}
    for cell in table.cells:
        if cell.stage == SELECTION:
            result = CellFolder(out, cell).result()
            rate = cell.config["sections"]["optimizer"]["lr"]
            error_mm = None if result is None else result["metrics"]["mpjpe_mm"]
            tried.setdefault((cell.target, cell.arm), {})[rate] = error_mm
    return [_line(*place, errors) for place, errors in tried.items()]


def _line(target: str, arm: str, errors_mm: dict[float, float | None]) -> str:
    finished = {rate: error for rate, error in errors_mm.items() if error is not None}
    complete = len(finished) == len(errors_mm)
    chosen = f"{min(finished, key=finished.get):g}" if complete else "not chosen yet"
    errors = ", ".join(f"{error:.1f} mm at {rate:g}" for rate, error in finished.items())
    return f"learning rate, {target}, {arm}: {chosen}; validation MPJPE {errors}"
