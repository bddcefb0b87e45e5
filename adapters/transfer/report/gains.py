"""The part of a transfer report that says where the difference is, as blocks of its page."""

from collections.abc import Sequence

import numpy as np

from adapters.transfer.report import gain_figures
from adapters.transfer.report.tables import seen_rows, unbroken
from adapters.transfer.score.results import GroupGain, TransferResults, percent
from gesture_pretrain.report import html

_INTERVALS = (
    "Intervals are 95 %, paired, by clusters (subject, sequence) and seeds, and NOT corrected for "
    "their number: of twenty, one leaves out the truth. {corrected} after Holm's correction over "
    "{family}."
)
_COLOURED = "Green and red are decided"
_JOINT_PANELS = 6


def gain_blocks(results: TransferResults) -> list[str]:
    """Heading, table and figures; nothing where nothing was compared."""
    compared = [pair for pair in results.pairs if pair.joints is not None]
    if not compared:
        return []
    first = compared[0]
    blocks = [html.heading("Where the difference is")]
    if first.by_gesture:
        header, rows = seen_rows(results)
        if rows:
            blocks.append(html.number_table(header, unbroken(rows), main_column=4))
            blocks.append(html.paragraph(_intervals("The p-values are", "the rows of this table")))
        blocks += [html.paragraph(text) for text in _not_known_of_unseen(first.by_gesture)]
    fewest = min(pair.fraction for pair in compared)
    panels = [p for p in compared if p.by_joint and p.fraction == fewest][:_JOINT_PANELS]
    if panels:
        title = f"By joint, {percent(fewest)} of the labels: {results.kind}"
        image = gain_figures.joint_gains_figure(panels, title=title)
        caption = _intervals(_COLOURED, "the joints of a panel")
        blocks.append(html.image(image, f"{caption} A root has no error and is left out."))
    if first.by_gesture:
        title = f"{first.label}: by gesture\n{results.kind}"
        image = gain_figures.gesture_gains_figure(first.by_gesture, title=title)
        blocks.append(html.image(image, _gesture_caption(first.by_gesture)))
    return blocks


def _intervals(corrected: str, family: str) -> str:
    return _INTERVALS.format(corrected=corrected, family=family)


def _gesture_caption(gains: Sequence[GroupGain]) -> str:
    known = sum(not np.isnan(gain.low_mm) for gain in gains)
    text = (
        "In brackets: hands; gestures of fewer than 3 are left out. Ordered by the difference "
        "itself, so that the ends are the extremes of chance as well: read the order as a hint. "
        "All are in gains.csv. "
    )
    if not known:
        return text + (
            "No gesture was recorded often enough (3 clusters) for an interval: none is decided."
        )
    if known < len(gains):
        text += (
            f"{known} of {len(gains)} gestures were recorded often enough (3 clusters) for an "
            "interval; the others are undecided. "
        )
    return text + _intervals(_COLOURED, "the gestures with an interval")


def _not_known_of_unseen(gains: Sequence[GroupGain]) -> list[str]:
    if all(gain.seen for gain in gains):
        return ["All gestures of the test were in pretraining: nothing is said of unseen ones."]
    if all(gain.seen is None for gain in gains):
        return ["Which gestures pretraining had is not known: nothing is said of unseen ones."]
    return []
