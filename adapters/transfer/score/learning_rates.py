"""The learning rates that the rule of a plan chose."""

from pathlib import Path

from adapters.transfer.plan.cell import SELECTION, CellTable
from adapters.transfer.run.cell_folder import CellFolder
from adapters.transfer.score.results import LearningRateChoice


def learning_rate_choices(table: CellTable, out: Path) -> tuple[LearningRateChoice, ...]:
    """Return the choice for each arm in each target; () without a rule."""
    tried: dict[tuple[str, str], dict[float, float | None]] = {}
    for cell in table.cells:
        if cell.stage == SELECTION:
            result = CellFolder(out, cell).result()
            rate = cell.config["sections"]["optimizer"]["lr"]
            error = None if result is None else result["metrics"]["mpjpe_mm"]
            tried.setdefault((cell.target, cell.arm), {})[rate] = error
    return tuple(_choice(*place, errors) for place, errors in tried.items())


def _choice(target: str, arm: str, errors: dict[float, float | None]) -> LearningRateChoice:
    finished = {rate: error for rate, error in errors.items() if error is not None}
    chosen = min(finished, key=finished.get) if len(finished) == len(errors) else None
    return LearningRateChoice(target, arm, finished, chosen)


def choice_lines(choices: tuple[LearningRateChoice, ...]) -> list[str]:
    """Describe the choices for a report, a line each."""
    return [
        f"learning rate, {choice.target}, {choice.arm}: "
        + ("not chosen yet" if choice.chosen is None else f"{choice.chosen:g}")
        + "; validation MPJPE "
        + ", ".join(f"{error:.1f} mm at {rate:g}" for rate, error in choice.errors_mm.items())
        for choice in choices
    ]
