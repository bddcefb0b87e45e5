"""A report page as plain data, rendered to self-contained HTML or to Markdown by a template.

A page is a title, a summary and sections. A section is a list of blocks: a string is a paragraph,
a list of strings is a bullet list, and the classes below are tables, figures and code. All text is
plain; the templates escape it. A section without blocks is left out.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import pandas as pd

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.tables import markdown_table, markdown_text

_TEMPLATES = Path(__file__).with_name("templates")
_KEPT_WHOLE = re.compile(r"\[[^\]]*\]|[\d.]+ ± [\d.]+|≤ [\d.]+")


@dataclass(frozen=True)
class Table:
    """A table of the texts in a frame.

    Attributes:
        frame: Its columns are the header; a frame without columns has no header.
        main: Name of the column in bold; None for no emphasis.
        is_text: Align all columns to the left and wrap them, instead of aligning numbers.
    """

    frame: pd.DataFrame
    main: str | None = None
    is_text: bool = False


@dataclass(frozen=True)
class Figure:
    """A PNG image with its caption; Markdown leaves it out."""

    png: bytes
    caption: str

    @property
    def uri(self) -> str:
        """The image as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Code:
    """Commands, code or preformatted text."""

    code: str


Block = str | Sequence[str] | Table | Figure | Code


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: Heading.
        subtitle: Line below the heading.
        summary: Most important findings, a sentence each.
        notices: Warnings below the summary.
        sections: Title to blocks, in reading order.
    """

    title: str
    subtitle: str
    summary: Sequence[str] = ()
    notices: Sequence[str] = ()
    sections: Mapping[str, Sequence[Block]] = field(default_factory=dict)

    def html(self) -> str:
        """Render as one HTML file that needs nothing else."""
        return _environment(autoescape=True).get_template("page.html").render(page=self)

    def markdown(self) -> str:
        """Render as Markdown, without figures."""
        return _environment(autoescape=False).get_template("page.md").render(page=self)

    def write(self, html: Path | str, markdown: Path | str | None = None) -> Path:
        """Write the page and, if asked for, its Markdown form; return the path of the page."""
        html = Path(html)
        html.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(html, self.html().encode())
        if markdown is not None:
            write_bytes_atomically(markdown, self.markdown().encode())
        return html


def facts_table(facts: Mapping[str, str], header: Sequence[str] = ("fact", "value")) -> Table:
    """Build a table of names and texts."""
    return Table(pd.DataFrame(list(facts.items()), columns=list(header)), is_text=True)


def _environment(*, autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "kind": _kind,
        "keep_whole": _keep_whole,
        "markdown": markdown_text,
        "markdown_table": lambda frame: markdown_table(list(frame.columns), frame.to_numpy()),
    }
    return environment


def _kind(block: Block) -> str:
    if isinstance(block, Table | Figure | Code):
        return type(block).__name__.lower()
    return "paragraph" if isinstance(block, str) else "bullets"


def _keep_whole(cell: object) -> str:
    """Keep a browser from breaking an interval or a spread at the end of a line."""
    return _KEPT_WHOLE.sub(lambda m: m[0].replace(" ", "\u00a0").replace("-", "\u2011"), str(cell))
