"""The parts of a transfer report that say where the difference is, as blocks of its page."""

from collections.abc import Sequence

import numpy as np

from adapters.transfer.report.gain_figures import gesture_gains_figure, joint_gains_figure
from adapters.transfer.report.tables import seen_table
from adapters.transfer.score.results import ComparedPair, GroupGain, TransferResults, percent
from gesture_pretrain.report.page import Block, Figure, Table

_JOINT_PANELS = 6


def seen_blocks(results: TransferResults) -> list[Block]:
    """Build the comparisons on gestures that pretraining had and had not."""
    compared = _compared(results)
    if not compared or not compared[0].by_gesture:
        return []
    gains = compared[0].by_gesture
    if all(gain.seen for gain in gains):
        return ["All gestures of the test were in pretraining. Unseen gestures were not tested."]
    if all(gain.seen is None for gain in gains):
        return ["Which gestures pretraining had is unknown. Unseen gestures were not tested."]
    frame = seen_table(results)
    note = _intervals("The p-values are", "the rows of this table")
    return [Table(frame, main="difference, mm"), note] if len(frame) else []


def part_blocks(results: TransferResults) -> list[Block]:
    """Build the figures of the differences by joint and by gesture."""
    compared = _compared(results)
    if not compared:
        return []
    blocks: list[Block] = []
    fewest = min(pair.fraction for pair in compared)
    panels = [p for p in compared if p.by_joint and p.fraction == fewest][:_JOINT_PANELS]
    if panels:
        title = f"By joint, {percent(fewest)} of the labels: {results.kind}"
        caption = _intervals("Green and red are significant", "the joints of a panel")
        image = joint_gains_figure(panels, title=title)
        blocks.append(Figure(image, f"{caption} A root has no error and is left out."))
    first = compared[0]
    if first.by_gesture:
        title = f"{first.label}: by gesture\n{results.kind}"
        image = gesture_gains_figure(first.by_gesture, title=title)
        blocks.append(Figure(image, _gesture_caption(first.by_gesture)))
    return blocks


def _compared(results: TransferResults) -> list[ComparedPair]:
    return [pair for pair in results.pairs if pair.joints is not None]


def _intervals(corrected: str, family: str) -> str:
    return (
        "Intervals are 95 %, paired, over clusters of hands and runs, and NOT corrected "
        "for their number: on average, one in twenty misses the true value. "
        f"{corrected} after Holm's correction over {family}."
    )


def _gesture_caption(gains: Sequence[GroupGain]) -> str:
    known = sum(not np.isnan(gain.low_mm) for gain in gains)
    text = (
        "In brackets: hands; gestures with fewer than 3 are left out. Gestures are sorted by their "
        "difference, so that the ends are extremes by chance as well. All are in gains.csv. "
    )
    if not known:
        return text + (
            "No gesture was recorded often enough (3 clusters) for an interval: none is "
            "significant."
        )
    if known < len(gains):
        text += (
            f"{known} of {len(gains)} gestures were recorded often enough (3 clusters) for an "
            "interval; the others are undecided. "
        )
    return text + _intervals("Green and red are significant", "the gestures with an interval")
