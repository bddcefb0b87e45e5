"""Tables as aligned text and as Markdown.

All tables that this project prints are written here: scores, ledgers, cards and reports. The
functions need no further library, because a failed load prints its ledger in the core as well.
"""

import re
from collections.abc import Iterable, Sequence


def text_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format an aligned table, the first column to the left and the others to the right."""
    lines = [[_one_line(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a Markdown table, the first column to the left and the others to the right."""
    lines = [[markdown_text(cell) for cell in line] for line in (header, *rows)]
    lines.insert(1, ["---", *["---:"] * (len(header) - 1)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_text(text: object) -> str:
    """Escape the characters that Markdown, embedded HTML or embedded formulae would interpret."""
    escaped = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_$|]|\](?=\())", r"\\\1", escaped)


def _one_line(cell: object) -> str:
    return " ".join(str(cell).split())
