"""The report of a transfer study: one page, and its tables as Markdown, CSV and LaTeX."""

from collections.abc import Sequence
from pathlib import Path

from adapters.transfer.report import figures
from adapters.transfer.report.curves import label_curves, step_curves
from adapters.transfer.report.gains import part_blocks, seen_blocks
from adapters.transfer.report.tables import (
    comparison_numbers,
    comparison_table,
    equivalent_table,
    feature_table,
    gain_numbers,
    metrics,
    transfer_numbers,
    transfer_table,
)
from adapters.transfer.report.verdict import (
    CONTROLLED,
    EXTERNAL,
    confounded,
    headline,
    verdict,
)
from adapters.transfer.score.results import ComparedPair, TransferResults
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.report.contact_sheet import contact_sheet
from gesture_pretrain.report.frames import to_csv, to_latex
from gesture_pretrain.report.page import Block, Code, Figure, Page, Table, facts_table

_MOST_AT_THE_TOP = 12
_DOT_BAR_TICKS = "Dot: difference. Bar: 95 % interval. Ticks: single seeds."
_EQUIVALENTS = (
    "Steps: those after which the arm reaches the final error of its reference. Labels: "
    "images with pose labels that the reference needs for the error of the arm. Amounts between "
    "the measured ones are interpolated; the smallest measured amount is an upper bound."
)
_STATISTICS = (
    "Differences are paired by hand and seed. The interval and p come from a crossed "
    "random-effects model whose factors are clusters of hands (`cluster_by` of the plan), seeds "
    "and pretrainings.",
    "'p, sign flip' is a permutation test over clusters, which treats the trained networks as "
    "fixed.",
    "'Interval over subjects' takes whole subjects as clusters. It is the one to read for new "
    "people.",
    "Holm's correction is over all rows of a table of comparisons.",
    "'Detectable' is the true difference that such data would find in 80 of 100 repetitions.",
)


def write_transfer_report(folder: Path | str, results: TransferResults) -> Path:
    """Write report.html, report.md, verdict.txt, table.tex, and tables as CSV.

    Returns:
        The path of report.html.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = "synthetic, rendered images" if results.synthetic else "the data of the plan"
    latex = [
        to_latex(transfer_table(results), f"Transfer table. Errors in mm on {data}."),
        to_latex(comparison_table(results.pairs), f"Declared comparisons on {data}."),
    ]
    frames = {
        "table.csv": transfer_numbers(results),
        "comparisons.csv": comparison_numbers(results.pairs),
        "other_systems.csv": comparison_numbers(results.external_pairs),
        "gains.csv": gain_numbers(results),
        "curves.csv": results.curves,
        "equivalents.csv": results.equivalents,
        "cells.csv": results.cells,
    }
    texts = {name: to_csv(frame) for name, frame in frames.items()}
    texts["table.tex"] = "\n".join(latex)
    texts["verdict.txt"] = "\n".join([headline(results), *verdict(results)]) + "\n"
    for name, text in texts.items():
        write_bytes_atomically(folder / name, text.encode("utf-8"))
    return transfer_page(results).write(folder / "report.html", folder / "report.md")


def transfer_page(results: TransferResults) -> Page:
    """Build the page: the verdict first, then tables, then everything that supports them."""
    return Page(
        f"{headline(results)}: {results.question}",
        f"Plan {results.name}, {results.kind}.",
        summary=verdict(results),
        notices=[f"Problems: {' '.join(results.trouble)}"] if results.trouble else [],
        sections={
            "Differences": _differences(results),
            "Transfer table": _transfer_tables(results),
            "Declared comparisons": _comparisons(results),
            "Curves": _curves(results),
            "Seen and unseen gestures": seen_blocks(results),
            "Other systems": _other_systems(results),
            "Question, data and arms": _arms(results),
            "Controls: were the labels learned?": _pretraining(results),
            "Statistics": [_STATISTICS] if results.pairs else [],
            "Threats to validity": _threats(results),
            "Leakage audit": [results.audit] if results.audit else [],
            "Differences by joint and gesture": part_blocks(results),
            "Do frozen features predict the gain?": _features(results),
            "Same hand, two systems": _poses(results),
            "Protocols": _protocols(results),
            **{
                f"Weights that arrived: {name}": [Code(table)]
                for name, table in results.ledgers.items()
            },
            "Record": _record(results),
        },
    )


def _differences(results: TransferResults) -> list[Block]:
    """Show the differences in one figure; of many, those of the main comparison."""
    if not any(pair.joints for pair in results.pairs):
        return []
    first = results.pairs[0]
    shown, caption = results.pairs, _DOT_BAR_TICKS
    if len(shown) > _MOST_AT_THE_TOP:
        shown = [p for p in shown if (p.arm, p.reference) == (first.arm, first.reference)]
        caption += " The first declared comparison; the others are below."
    return [_difference_figure(results, shown[:_MOST_AT_THE_TOP], "Differences", caption)]


def _difference_figure(
    results: TransferResults, pairs: Sequence[ComparedPair], what: str, caption: str
) -> Figure:
    title = f"{what} with 95 % intervals: {results.kind}"
    return Figure(figures.difference_figure(pairs, title=title), caption)


def _transfer_tables(results: TransferResults) -> list[Block]:
    frame, (first, *others) = transfer_table(results), results.protocols
    tested = list(frame.columns[: list(frame.columns).index("hands") + 1])
    blocks: list[Block] = [
        Table(frame[tested], main=metrics(results, first)[0]),
        "Mean ± standard deviation over seeds, mm; lower is better. The difference is that of the "
        f"first comparison declared for the row. Protocol {first} is described under Protocols.",
    ]
    if others:
        blocks.append(Table(frame.drop(columns=tested[2:])))
    return blocks


def _comparisons(results: TransferResults) -> list[Block]:
    blocks = _comparison_tables(results.pairs)
    if len(results.pairs) > _MOST_AT_THE_TOP and any(pair.joints for pair in results.pairs):
        figure = _difference_figure(results, results.pairs, "All differences", _DOT_BAR_TICKS)
        blocks.append(figure)
    return blocks


def _comparison_tables(pairs: Sequence[ComparedPair]) -> list[Block]:
    """Show the differences with their intervals, and below them their details."""
    if not pairs:
        return []
    frame = comparison_table(pairs)
    differences = ["difference, mm", "95 % interval", "%", "p, Holm", "finding"]
    return [
        Table(frame[["comparison", *differences]], main=differences[0]),
        Table(frame.drop(columns=differences)),
    ]


def _curves(results: TransferResults) -> list[Block]:
    colours = figures.arm_colours(list(results.arms))
    blocks: list[Block] = []
    if len({row.fraction for row in results.rows if row.fraction}) > 1:
        image = label_curves(
            results.rows,
            results.pairs,
            results.protocols[0],
            title=f"Label efficiency: {results.kind}",
            colours=colours,
        )
        caption = (
            f"{results.protocols[0]}, mm. Above: lines are means over seeds, a dot is a seed, a "
            "band is the 95 % interval of the mean for other clusters and seeds. Bands may "
            "overlap although a difference is significant, because all arms are scored on the "
            "same hands. Below: paired differences with 95 % intervals, coloured after Holm's "
            "correction over all declared comparisons."
        )
        blocks.append(Figure(image, caption))
    if len(results.curves):
        title = f"Error over fine-tuning steps: {results.kind}"
        image = step_curves(results.curves, title=title, colours=colours)
        caption = "Lines are means over seeds, a dot is a seed. All points are in curves.csv."
        blocks.append(Figure(image, f"{results.protocols[0]}, mm. {caption}"))
    if len(results.equivalents):
        blocks += [Table(equivalent_table(results)), _EQUIVALENTS]
    return blocks


def _other_systems(results: TransferResults) -> list[Block]:
    if not results.external_pairs:
        return []
    blocks = [*_comparison_tables(results.external_pairs), EXTERNAL]
    if any(pair.joints for pair in results.external_pairs):
        caption = "Left of 0: the other system has the lower error. Ticks: seeds of the reference."
        pairs = results.external_pairs
        blocks.append(_difference_figure(results, pairs, "Other systems", caption))
    return blocks


def _arms(results: TransferResults) -> list[Block]:
    named = {**results.arms, **results.targets}
    return [
        f"Question: {results.question}",
        f"Data: {results.kind}. {results.test_text}",
        facts_table(named, ("arm or target", "description")),
        results.compute,
    ]


def _pretraining(results: TransferResults) -> list[Block]:
    if not len(results.pretraining):
        return []
    return [
        Table(results.pretraining),
        "Top-1 accuracy on each arm's own labels, mean over seeds; training images without "
        "augmentation. A control whose labels were not learned proves little.",
    ]


def _threats(results: TransferResults) -> list[Block]:
    return [
        "Held equal, so not confounded:",
        CONTROLLED,
        "Confounded, or not tested by this study:",
        confounded(results),
    ]


def _features(results: TransferResults) -> list[Block]:
    if not results.features:
        return []
    blocks: list[Block] = [
        Table(feature_table(results)),
        "Linear probe and k-NN from frozen, pooled features to wrist-relative joints, which "
        "pretraining never saw. Gain: error of the reference arm minus this arm's after "
        "fine-tuning, same seed, fewest labels.",
    ]
    if any(score.gain_mm for score in results.features):
        image = figures.prediction_figure(
            results.features,
            title=f"Frozen features against gain: {results.kind}",
            colours=figures.arm_colours(list(results.arms)),
        )
        blocks.append(Figure(image, "One dot per arm and seed."))
    return blocks


def _poses(results: TransferResults) -> list[Block]:
    if not results.pose_tiles:
        return []
    pair = next(pair for pair in results.pairs if pair.joints is not None)
    image = contact_sheet(results.pose_tiles, title=f"{pair.label}\n{results.kind}", dpi=150)
    caption = (
        "Hands of the first declared comparison and the first seed: where the arm gains least, in "
        "the middle, and most. Predicted joints are drawn from the true wrist, as they are scored. "
        "Numbers: mean error of the hand's joints."
    )
    return [Figure(image, caption)]


def _protocols(results: TransferResults) -> list[Block]:
    names = (name for name in results.protocols if name in results.cards)
    blocks: list[Block] = [Code("\n".join(results.cards[name])) for name in names]
    refused = {f"{row.target}: {why}" for row in results.rows for why in row.refused.values()}
    return [*blocks, sorted(refused)] if refused else blocks


def _record(results: TransferResults) -> list[Block]:
    return [
        facts_table({**results.facts, "command": results.command}),
        "The complete configuration of each run is cell.json in its folder.",
        Table(results.cells),
        "The plan:",
        Code(results.plan_text),
    ]
