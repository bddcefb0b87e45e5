"""Building blocks of a self-contained HTML page: headings, paragraphs, tables and images.

The style sheet and base64-encoded images are part of the file, so it opens without a network.
Callers pass plain text, which is escaped here.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5a6675; --line: #d9dfe6; --tint: #f4f7fa;
  --accent: #1f5f99; --warn: #fff4d6; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 28px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 44px 0 10px; padding-bottom: 6px;
  border-bottom: 2px solid var(--line); }
p { max-width: 78ch; margin: 8px 0; }
.subtitle { color: var(--soft); margin: 0 0 20px; }
.summary { background: var(--tint); border-left: 4px solid var(--accent); padding: 12px 20px;
  margin: 16px 0; }
.summary ul { margin: 0; padding-left: 20px; }
.summary li { margin: 4px 0; }
.notice { background: var(--warn); border-left: 4px solid #d49a00; padding: 8px 20px;
  margin: 16px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 12px 0; font-size: 15px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 6px 14px; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
tr.section td { background: var(--tint); font-weight: 600; text-align: left; }
table.text th, table.text td { text-align: left; overflow-wrap: anywhere; }
td.main { font-weight: 700; }
figure { margin: 16px 0 28px; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: 14px; max-width: 90ch; margin-top: 6px; }
pre { background: var(--tint); padding: 12px 16px; overflow-x: auto; font-size: 13.5px;
  line-height: 1.45; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { h2 { break-after: avoid; } figure, table { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Section:
    """A table row that is a heading for the rows below it."""

    title: str


def page(title: str, subtitle: str, blocks: Sequence[str]) -> str:
    """Build the document from blocks of the functions below."""
    body = "\n".join(blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="subtitle">{escape(subtitle)}</p>\n{body}\n'
        "</main>\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """Format a section heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Format a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def bullets(items: Sequence[str]) -> str:
    """Format a bullet list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def summary(items: Sequence[str]) -> str:
    """Format the summary box at the top of the page."""
    return f'<div class="summary">{bullets(items)}</div>'


def notice(text: str) -> str:
    """Format a highlighted notice."""
    return f'<div class="notice">{escape(text)}</div>'


def code(text: str) -> str:
    """Format commands or code."""
    return f"<pre>{escape(text)}</pre>"


def number_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str] | Section],
    *,
    main_column: int | None = None,
) -> str:
    """Format a table of numbers; a `Section` spans all columns.

    Args:
        header: One text per column; the first column contains the row names.
        rows: Texts of the cells.
        main_column: Column to set in bold; None for no emphasis.
    """
    lines = []
    for row in rows:
        if isinstance(row, Section):
            lines.append(
                f'<tr class="section"><td colspan="{len(header)}">{escape(row.title)}</td></tr>'
            )
            continue
        cells = (
            f'<td class="main">{escape(cell)}</td>'
            if i == main_column
            else f"<td>{escape(cell)}</td>"
            for i, cell in enumerate(row)
        )
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return _table("", header, lines)


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table of plain text."""
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return _table("text", header, lines)


def image(content: bytes, caption: str, *, width_px: int | None = None) -> str:
    """Embed a PNG, JPEG or SVG image with its caption.

    Raises:
        ValueError: The bytes are neither PNG nor JPEG nor SVG.
    """
    width = f' width="{width_px}"' if width_px else ""
    data = base64.b64encode(content).decode("ascii")
    return (
        f'<figure><img{width} alt="{escape(caption, quote=True)}" '
        f'src="data:{_media_type(content)};base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _media_type(content: bytes) -> str:
    if content.startswith(b"\x89PNG"):
        return "image/png"
    if content.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if b"<svg" in content[:1000]:
        return "image/svg+xml"
    raise ValueError("An image must be PNG, JPEG or SVG bytes; found none of these signatures.")


def _table(kind: str, header: Sequence[str], lines: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    head = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    body = "<tbody>" + "".join(lines) + "</tbody>"
    return f'<div class="scroll"><table class="{kind}">{head}{body}</table></div>'
