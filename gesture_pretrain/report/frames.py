"""A pandas frame as CSV and as LaTeX. Labels stay text, whatever characters they contain."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

DASH = "–"
# what pandas does not escape and LaTeX's default fonts do not have
_LATEX = str.maketrans(
    {"<": "$<$", ">": "$>$", "≤": r"$\leq$", "–": "--", "±": r"$\pm$", "→": r"$\to$", "−": "$-$"}
)


def numbers_frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Build a frame of numbers from its rows; counts stay integers where some are missing."""
    return pd.DataFrame(list(rows), columns=list(columns), dtype=object).convert_dtypes()


def texts_frame(rows: Iterable[Mapping[str, str | None]], columns: Sequence[str]) -> pd.DataFrame:
    """Build a frame of texts from its rows, with a dash where a text is missing."""
    return pd.DataFrame(list(rows), columns=list(columns), dtype=object).fillna(DASH)


def to_csv(frame: pd.DataFrame) -> str:
    """Format as CSV, numbers with five significant digits; missing values are empty."""
    objects = frame.astype(object)  # whole numbers stay whole
    cells = objects.rename(columns=_csv_cell).map(_csv_cell)
    return cells.to_csv(index=False, lineterminator="\n")


def to_latex(frame: pd.DataFrame, caption: str) -> str:
    """Format as a LaTeX table (package booktabs).

    Args:
        frame: Texts of the cells.
        caption: Caption in LaTeX. It is not escaped, so it must not contain text of the user.
    """
    columns = "l" + "r" * (len(frame.columns) - 1)
    one_line = frame.map(lambda cell: " ".join(str(cell).split()))
    text = one_line.to_latex(index=False, escape=True, column_format=columns, caption=caption)
    return text.translate(_LATEX)


def _csv_cell(value: Any) -> Any:
    """Round numbers, and put an apostrophe before text that a spreadsheet would compute."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    return float(f"{value:.5g}") if isinstance(value, float) else value
