"""The report of a transfer experiment: one page, and its tables as Markdown, CSV and LaTeX."""

from collections.abc import Sequence
from pathlib import Path

from adapters.transfer.report import figures
from adapters.transfer.report.gains import gain_blocks
from adapters.transfer.report.markdown import markdown
from adapters.transfer.report.pose_figure import pose_pairs_figure
from adapters.transfer.report.tables import (
    as_csv,
    as_latex,
    cell_rows,
    comparison_numbers,
    comparison_rows,
    feature_rows,
    gain_rows,
    other_protocol_rows,
    pretraining_rows,
    tested_rows,
    transfer_numbers,
    transfer_rows,
    unbroken,
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
from gesture_pretrain.report import html
from gesture_pretrain.report.figures import embedding_figure

_MOST_AT_THE_TOP = 12


def write_transfer_report(folder: Path | str, results: TransferResults) -> Path:
    """Write report.html, report.md, verdict.txt, table.tex, and tables as CSV.

    Returns:
        The path of report.html.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table, compared = transfer_rows(results), comparison_rows(results.pairs)
    caption = f"{results.question} Data: {results.kind}."
    for name, text in (
        ("report.html", _page(results)),
        ("report.md", markdown(results)),
        ("verdict.txt", "\n".join([headline(results), *verdict(results)]) + "\n"),
        ("table.csv", as_csv(*transfer_numbers(results))),
        ("comparisons.csv", as_csv(*comparison_numbers(results.pairs))),
        ("other_systems.csv", as_csv(*comparison_numbers(results.external_pairs))),
        ("gains.csv", as_csv(*gain_rows(results))),
        ("cells.csv", as_csv(*cell_rows(results))),
        ("table.tex", as_latex(*table, caption) + as_latex(*compared, f"Comparisons. {caption}")),
    ):
        write_bytes_atomically(folder / name, text.encode("utf-8"))
    return folder / "report.html"


def _page(results: TransferResults) -> str:
    blocks = [html.summary(verdict(results))]
    if results.trouble:
        blocks += [html.notice("Trouble: " + " ".join(results.trouble))]
    blocks += _answer_blocks(results)
    blocks += _table_blocks(results)
    blocks += _comparison_blocks(results)
    blocks += _external_blocks(results)
    blocks += _cause_blocks(results)
    blocks += gain_blocks(results)
    blocks += _pretraining_blocks(results)
    blocks += _feature_blocks(results)
    blocks += _pose_pair_blocks(results)
    blocks += _protocol_blocks(results)
    blocks += _record_blocks(results)
    return html.page(
        f"{headline(results)}: {results.question}",
        f"Transfer experiment {results.name} on {results.kind}.",
        blocks,
    )


def _answer_blocks(results: TransferResults) -> list[str]:
    """The differences in one figure; of many, those of the main comparison."""
    if not any(pair.joints for pair in results.pairs):
        return []
    first = results.pairs[0]
    shown, caption = results.pairs, "Dot: difference. Bar: 95 % interval. Ticks: single seeds."
    if len(shown) > _MOST_AT_THE_TOP:
        shown = [p for p in shown if (p.arm, p.reference) == (first.arm, first.reference)]
        caption += " The first declared comparison; the others are below."
    image = figures.difference_figure(
        shown[:_MOST_AT_THE_TOP], title=f"Differences with 95 % intervals: {results.kind}"
    )
    return [html.image(image, caption)]


def _table_blocks(results: TransferResults) -> list[str]:
    header, rows = tested_rows(results)
    first, *others = results.protocols
    blocks = [
        html.heading("Transfer table"),
        html.number_table(header, unbroken(rows), main_column=6),
        html.paragraph(
            "Mean ± standard deviation over seeds, mm; lower is better. The difference is "
            "that of the first comparison declared for the row. Protocol "
            f"{first}; what it is stands below under Protocols."
        ),
    ]
    if others:
        header, rows = other_protocol_rows(results)
        blocks.append(html.number_table(header, unbroken(rows)))
    return blocks


def _protocol_blocks(results: TransferResults) -> list[str]:
    blocks = [html.heading("Protocols")]
    blocks += [
        html.code("\n".join(results.cards[protocol]))
        for protocol in results.protocols
        if protocol in results.cards
    ]
    refused = {f"{row.target}: {why}" for row in results.rows for why in row.refused.values()}
    if refused:
        blocks.append(html.bullets(sorted(refused)))
    return blocks


def _comparison_blocks(results: TransferResults) -> list[str]:
    if not results.pairs:
        return []
    blocks = [
        html.heading("Declared comparisons"),
        *_comparison_tables(results.pairs),
        html.paragraph(
            "Differences are paired by hand and seed. The interval and p come from a crossed "
            "random-effects model whose factors are clusters (subject, sequence), seeds and "
            "pretrainings. 'p, sign flip' is a permutation test over clusters, which treats the "
            "trained networks as fixed. 'Interval over subjects' takes whole subjects as clusters "
            "and is the one to read for new people. Holm's correction is over all rows of the "
            "table. 'Detectable': the true difference that such data would find in 80 of 100 "
            "repetitions."
        ),
    ]
    if len(results.pairs) > _MOST_AT_THE_TOP and any(pair.joints for pair in results.pairs):
        image = figures.difference_figure(
            results.pairs, title=f"All differences with 95 % intervals: {results.kind}"
        )
        blocks.append(html.image(image, "Dot: difference. Bar: interval. Ticks: single seeds."))
    if len({row.fraction for row in results.rows if row.fraction}) > 1:
        blocks.append(_label_curves(results))
    return blocks


def _label_curves(results: TransferResults) -> str:
    image = figures.label_curves(
        results.rows,
        results.pairs,
        results.protocols[0],
        title=f"Label efficiency: {results.kind}",
        colours=figures.arm_colours(list(results.arms)),
    )
    return html.image(
        image,
        f"{results.protocols[0]}, mm. Above: lines are means over seeds, a dot is a seed, a band "
        "is the 95 % interval of the mean for other sequences and seeds. Bands may overlap though "
        "the difference is clear, as all arms are scored on the same hands: that is what the lower "
        "panels show, with paired 95 % intervals, coloured after Holm over all declared "
        "comparisons.",
    )


def _external_blocks(results: TransferResults) -> list[str]:
    if not results.external_pairs:
        return []
    blocks = [html.heading("Other systems"), *_comparison_tables(results.external_pairs)]
    blocks.append(html.paragraph(EXTERNAL))
    if any(pair.joints for pair in results.external_pairs):
        image = figures.difference_figure(
            results.external_pairs, title=f"Other systems, 95 % intervals: {results.kind}"
        )
        caption = "Left of 0: the other system has the lower error. Ticks: seeds of the reference."
        blocks.append(html.image(image, caption))
    return blocks


def _comparison_tables(pairs: Sequence[ComparedPair]) -> list[str]:
    """Differences with their intervals, and below them what else is known of each."""
    header, rows = comparison_rows(pairs)
    differences, details = [0, 1, 2, 3, 6, 7], [0, 4, 5, 8, 9, 10, 11]
    return [
        html.number_table(
            [header[i] for i in columns],
            unbroken([[row[i] for i in columns] for row in rows]),
            main_column=main_column,
        )
        for columns, main_column in ((differences, 1), (details, None))
    ]


def _cause_blocks(results: TransferResults) -> list[str]:
    named = [[name, text] for name, text in (*results.arms.items(), *results.targets.items())]
    return [
        html.heading("What is confounded and what is not"),
        html.paragraph("Not confounded:"),
        html.bullets(CONTROLLED),
        html.paragraph("Confounded, or not shown by this experiment:"),
        html.bullets(confounded(results)),
        html.text_table(["arm or target", "what it is"], named),
        html.bullets(results.compute),
        html.heading("Leakage audit"),
        html.bullets(results.audit),
    ]


def _pretraining_blocks(results: TransferResults) -> list[str]:
    if not results.pretraining:
        return []
    return [
        html.heading("Were the labels learned?"),
        html.number_table(*pretraining_rows(results)),
        html.paragraph(
            "Top-1 accuracy on each arm's own labels, mean over seeds; training images without "
            "augmentation. A control whose labels were not learned says little about them."
        ),
    ]


def _feature_blocks(results: TransferResults) -> list[str]:
    if not results.features:
        return []
    return [
        html.heading("Do frozen features foretell the gain?"),
        html.number_table(*feature_rows(results)),
        html.paragraph(
            "Linear probe and k-NN from frozen, pooled features to wrist-relative joints, which "
            "pretraining never saw. Gain: error of the reference arm minus this arm's after "
            "fine-tuning, same seed, least labels."
        ),
        *_feature_figures(results),
    ]


def _feature_figures(results: TransferResults) -> list[str]:
    blocks = []
    if any(score.gain_mm for score in results.features):
        image = figures.foretelling_figure(
            results.features,
            title=f"Frozen features against gain: {results.kind}",
            colours=figures.arm_colours(list(results.arms)),
        )
        blocks.append(html.image(image, "One dot per arm and seed."))
    if results.feature_points:
        image = embedding_figure(
            results.feature_points,
            title=f"t-SNE of pooled features before fine-tuning: {results.kind}",
            num_classes=results.feature_classes,
        )
        blocks.append(
            html.image(
                image,
                "Coloured by coarse gesture, which the gesture arm was trained with: circular, "
                "for the eye only. The numbers above are not.",
            )
        )
    return blocks


def _pose_pair_blocks(results: TransferResults) -> list[str]:
    if not results.pose_pairs:
        return []
    pair = next(pair for pair in results.pairs if pair.joints is not None)
    crossed = pair.target != pair.reference_target
    colours = figures.arm_colours([*results.arms, "the same arm in another target"])
    same = pair.arm == pair.reference
    image = pose_pairs_figure(
        results.pose_pairs,
        title=f"{pair.label}\n{results.kind}",
        arm=f"{pair.target}, {pair.arm}" if crossed else pair.arm,
        reference=f"{pair.reference_target}, {pair.reference}" if crossed else pair.reference,
        arm_colour=colours[pair.arm],
        reference_colour=colours["the same arm in another target" if same else pair.reference],
    )
    return [
        html.heading("Same hand, two systems"),
        html.image(image, results.pose_pairs_text + " Numbers: mean error of the hand's joints."),
    ]


def _record_blocks(results: TransferResults) -> list[str]:
    blocks = [html.heading("Weights that arrived")]
    blocks += [html.code(f"{name}\n{table}") for name, table in results.ledgers.items()]
    blocks += [
        html.heading("Record"),
        html.text_table(["", ""], [[name, text] for name, text in results.facts.items()]),
        html.code("\n".join(results.commands)),
        html.heading("Cells"),
        html.paragraph("The whole configuration of each is cell.json in its folder."),
        html.number_table(*cell_rows(results)),
        html.heading("Plan"),
        html.code(results.plan_text),
    ]
    return blocks
