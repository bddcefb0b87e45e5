"""A page is self-contained and escaped; frames keep numbers as numbers and labels as text."""

import re

import pandas as pd

from gesture_pretrain.report.frames import numbers_frame, to_csv, to_latex
from gesture_pretrain.report.page import Code, Figure, Page, Table, facts_table

PNG = b"\x89PNG\r\n\x1a\n"
HOSTILE = '<script src="x">|=$x_1$ &\n'


def page(text="t") -> Page:
    frame = pd.DataFrame([[text, "-1.5 [-2.0, -1.0] to it"]], columns=[text, "mm"])
    blocks = [text, [text], Code(text), Table(frame, main="mm"), facts_table({text: text})]
    sections = {"first": [*blocks, Figure(PNG, text)], "nothing": []}
    return Page(text, text, summary=[text], notices=[text], sections=sections)


def test_page_needs_nothing_from_outside():
    html = page().html()
    assert not re.search(r"(src|href)=[\"'](?!data:)", html)
    assert "url(" not in html and "<script" not in html and "@import" not in html
    assert html.count("<main>") == html.count("</main>") == 1
    assert "data:image/png;base64," in html and html.startswith("<!doctype html>")
    assert "first" in html and "nothing" not in html  # a section without blocks


def test_text_is_escaped():
    html, markdown = page(HOSTILE).html(), page(HOSTILE).markdown()
    assert "<script" not in html and html.count("&lt;script") == 14
    outside_code = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    assert "<script" not in outside_code and r"\|=\$x\_1\$ &amp;" in outside_code


def test_intervals_are_not_broken_at_the_end_of_a_line():
    assert '<td class="main">-1.5 [\u20112.0,\u00a0\u20111.0] to it</td>' in page().html()


def test_csv_has_numbers_and_computes_nothing():
    rows = [{"name": "=cmd|", "mm": -1.23456789, "hands": 123456}, {"name": "a"}]
    csv = to_csv(numbers_frame(rows, ["name", "mm", "hands"]))
    assert csv.splitlines() == ["name,mm,hands", "'=cmd|,-1.2346,123456", "a,,"]


def test_latex_escapes_labels():
    latex = to_latex(pd.DataFrame([["a_b & 5 % → c ^~", HOSTILE]], columns=["q", "$"]), "Errors.")
    assert (
        r"a\_b \& 5 \% $\to$ c \textasciicircum \textasciitilde" in latex
        and r"$<$script" in latex
        and r"\$x\_1\$" in latex
    )
    assert r"q & \$ \\" in latex and r"\toprule" in latex
