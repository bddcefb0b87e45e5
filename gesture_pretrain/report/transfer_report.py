"""The report of a transfer experiment: one page, and its tables as Markdown, CSV and LaTeX."""

from collections.abc import Sequence
from pathlib import Path

from gesture_pretrain.atomic_write import write_bytes_atomically
from gesture_pretrain.report import html
from gesture_pretrain.report import transfer_figures as pictures
from gesture_pretrain.report.figures import embedding_picture
from gesture_pretrain.report.transfer_markdown import markdown
from gesture_pretrain.report.transfer_results import GroupGain, TransferResults
from gesture_pretrain.report.transfer_tables import (
    as_csv,
    as_latex,
    cell_rows,
    comparison_rows,
    feature_rows,
    gain_rows,
    seen_rows,
    transfer_rows,
)
from gesture_pretrain.report.transfer_verdict import CONTROLLED, confounded, headline, verdict

_BY_GESTURE = (
    "In brackets: hands; gestures of fewer than 3 are left out. No interval; read it as a hint."
)


def write_transfer_report(folder: Path | str, results: TransferResults) -> Path:
    """Writes report.html, report.md, and as CSV table, comparisons, gains and cells; table.tex.

    Returns:
        The path of report.html.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table, compared = transfer_rows(results), comparison_rows(results)
    caption = f"{results.question} Data: {results.kind}."
    for name, text in (
        ("report.html", _page(results)),
        ("report.md", markdown(results)),
        ("table.csv", as_csv(*table)),
        ("comparisons.csv", as_csv(*compared)),
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
    blocks += _table_blocks(results)
    blocks += _comparison_blocks(results)
    blocks += _cause_blocks(results)
    blocks += _gain_blocks(results)
    blocks += _feature_blocks(results)
    blocks += _picture_blocks(results)
    blocks += _record_blocks(results)
    kind = "synthetic images" if results.synthetic else "photographs"
    return html.page(
        f"{headline(results)}: {results.question}",
        f"Transfer experiment {results.name} on {results.data_title} ({kind}).",
        blocks,
    )


def _table_blocks(results: TransferResults) -> list[str]:
    header, rows = transfer_rows(results)
    blocks = [
        html.heading("Transfer table"),
        html.number_table(header, rows, main_column=4),
        html.paragraph(
            "Mean ± standard deviation over seeds, mm; lower is better. The difference is "
            "that of the first protocol's MPJPE, of the first comparison declared for the row."
        ),
    ]
    for protocol in results.protocols:
        if protocol in results.cards:
            blocks.append(html.code("\n".join(results.cards[protocol])))
    refused = {f"{row.target}: {why}" for row in results.rows for why in row.refused.values()}
    if refused:
        blocks.append(html.bullets(sorted(refused)))
    return blocks


def _comparison_blocks(results: TransferResults) -> list[str]:
    if not results.pairs:
        return []
    blocks = [
        html.heading("Declared comparisons"),
        *_comparison_tables(results),
        html.paragraph(
            "Differences are paired by hand and seed. Intervals: clusters are (subject, sequence), "
            "resampled; seeds enter as a second level by Student's t. 'Interval over subjects' "
            "takes whole subjects as clusters and is the one to read for new people. Holm's "
            "correction is over all rows of the table. 'Detectable': the true difference that "
            "such data would find in 80 of 100 repetitions."
        ),
    ]
    if any(pair.joints for pair in results.pairs):
        image = pictures.difference_picture(
            results.pairs, title=f"Differences with 95 % intervals: {results.kind}"
        )
        blocks.append(html.picture(image, "Dot: difference. Bar: interval. Ticks: single seeds."))
    if len({row.fraction for row in results.rows if row.fraction}) > 1:
        image = pictures.label_curves(
            results.rows, results.protocols[0], title=f"Label efficiency: {results.kind}"
        )
        blocks.append(html.picture(image, f"{results.protocols[0]}, mm. A dot is a seed."))
    return blocks


def _comparison_tables(results: TransferResults) -> list[str]:
    """Differences with their intervals, and below them what else is known of each."""
    header, rows = comparison_rows(results)
    differences, details = [0, 1, 2, 3, 5, 6], [0, 4, 7, 8, 9, 10]
    return [
        html.number_table(
            [header[i] for i in columns],
            [[row[i] for i in columns] for row in rows],
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


def _gain_blocks(results: TransferResults) -> list[str]:
    compared = [pair for pair in results.pairs if pair.joints is not None]
    if not compared:
        return []
    first = compared[0]
    blocks = [html.heading("Where the difference is")]
    if first.by_gesture:
        header, rows = seen_rows(results)
        if rows:
            blocks.append(html.number_table(header, rows, main_column=4))
        blocks += [html.paragraph(text) for text in _not_known_of_unseen(first.by_gesture)]
        title = f"{first.label}: by gesture\n{results.kind}"
        image = pictures.gesture_gains_picture(first.by_gesture, title=title)
        blocks.append(html.picture(image, _BY_GESTURE))
    if first.by_joint:
        image = pictures.joint_gains_picture(compared[:6], title=f"By joint: {results.kind}")
        blocks.append(html.picture(image, "The wrist is the root and has no error."))
    return blocks


def _not_known_of_unseen(gains: Sequence[GroupGain]) -> list[str]:
    if all(gain.seen for gain in gains):
        return ["All gestures of the test were in pretraining: nothing is said of unseen ones."]
    if all(gain.seen is None for gain in gains):
        return ["Which gestures pretraining had is not known: nothing is said of unseen ones."]
    return []


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
        *_feature_pictures(results),
    ]


def _feature_pictures(results: TransferResults) -> list[str]:
    blocks = []
    if any(score.gain_mm for score in results.features):
        image = pictures.foretelling_picture(
            results.features, title=f"Frozen features against gain: {results.kind}"
        )
        blocks.append(html.picture(image, "One dot per arm and seed."))
    if results.feature_points:
        image = embedding_picture(
            results.feature_points,
            title=f"t-SNE of pooled features before fine-tuning: {results.kind}",
            num_classes=results.feature_classes,
        )
        blocks.append(
            html.picture(
                image,
                "Coloured by coarse gesture, which the gesture arm was trained with: circular, "
                "for the eye only. The numbers above are not.",
            )
        )
    return blocks


def _picture_blocks(results: TransferResults) -> list[str]:
    if not results.pose_pairs:
        return []
    pair = next(pair for pair in results.pairs if pair.joints is not None)
    image = pictures.pose_pairs_picture(
        results.pose_pairs,
        title=f"{pair.label}\n{results.kind}",
        arm=f"{pair.target}, {pair.arm}",
        reference=f"{pair.reference_target}, {pair.reference}",
    )
    return [
        html.heading("Same hand, two systems"),
        html.picture(
            image, "Error of the reference → error of the arm. " + results.pose_pairs_text
        ),
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
