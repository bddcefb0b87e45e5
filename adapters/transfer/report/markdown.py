"""The report of a transfer experiment as Markdown: the page without its figures."""

from collections.abc import Sequence

from adapters.transfer.report.tables import (
    as_markdown,
    cell_rows,
    comparison_rows,
    feature_rows,
    markdown_text,
    pretraining_rows,
    seen_rows,
    transfer_rows,
)
from adapters.transfer.report.verdict import (
    CONTROLLED,
    EXTERNAL,
    confounded,
    headline,
    verdict,
)
from adapters.transfer.score.results import TransferResults


def markdown(results: TransferResults) -> str:
    """The whole text; a part about which there is nothing to say is left out."""
    facts = {**results.facts, "commands": "; ".join(results.commands)}
    named = [[name, text] for name, text in (*results.arms.items(), *results.targets.items())]
    cards = [card for name, card in results.cards.items() if name in results.protocols]
    lines = [f"# {headline(results)}: {markdown_text(results.question)}", ""]
    lines += [f"Data: {markdown_text(results.kind)}.", ""]
    lines += [f"- {markdown_text(sentence)}" for sentence in verdict(results)]
    lines += _table("Transfer table", *transfer_rows(results))
    for card in cards:
        lines += ["", "```", *card, "```"]
    lines += _table("Declared comparisons", *comparison_rows(results.pairs))
    lines += _table("Other systems", *comparison_rows(results.external_pairs))
    lines += [EXTERNAL] if results.external_pairs else []
    lines += _table("Gestures in pretraining and others", *seen_rows(results))
    lines += _table("Were the labels learned?", *pretraining_rows(results))
    lines += _table("Frozen features and the gain", *feature_rows(results))
    lines += _table("Arms and targets", ["name", "what it is"], named)
    lines += _listed("Not confounded", CONTROLLED)
    lines += _listed("Confounded", confounded(results))
    lines += _listed("Leakage audit", results.audit)
    lines += _listed("Trouble", results.trouble) + _listed("Compute", results.compute)
    for name, table in results.ledgers.items():
        lines += ["", f"## Weights that arrived: {markdown_text(name)}", "", "```", table, "```"]
    lines += _listed("Record", [f"{name}: {text}" for name, text in facts.items()])
    lines += _table("Cells", *cell_rows(results))
    lines += ["", "## Plan", "", "```json", results.plan_text, "```", ""]
    return "\n".join(lines)


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["", f"## {title}", "", as_markdown(header, rows)] if rows else []


def _listed(title: str, items: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {markdown_text(item)}" for item in items)] if items else []
