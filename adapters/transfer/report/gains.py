"""Differences by joint, by gesture and by exposure, as blocks of a report page. Millimetres."""

from collections.abc import Sequence

import numpy as np
from matplotlib import figure as mpl
from matplotlib.lines import Line2D

from adapters.transfer.report.figures import FINDING_COLOURS, draw_interval, finding_legend
from adapters.transfer.report.tables import seen_table
from adapters.transfer.score.results import ComparedPair, GroupGain, TransferResults, percent
from gesture_pretrain.report.figures import INK, SOFT, plain, to_png
from gesture_pretrain.report.page import Block, Figure, Table

_JOINT_PANELS, _GESTURES_SHOWN = 6, 40


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
        "In brackets: number of hands, at least 3. Gestures are sorted by their "
        "difference, so both ends are partly due to chance. All are in gains.csv. "
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


def gesture_gains_figure(gains: Sequence[GroupGain], *, title: str) -> bytes:
    """Draw the difference on each gesture, best on top; unseen gestures are hollow."""
    gains, cut = list(gains), None
    if len(gains) > _GESTURES_SHOWN:
        cut = _GESTURES_SHOWN // 2
        title += f"\n{cut} best and {cut} worst of {len(gains)}"
        gains = gains[:cut] + gains[-cut:]
    figure = mpl.Figure(figsize=(8.6, 1.9 + 0.19 * len(gains)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=0.9)
    for place, gain in enumerate(gains):
        colour = FINDING_COLOURS[gain.finding]
        face, size = "white" if gain.seen is False else colour, 3 + min(5.0, gain.hands**0.5 / 3)
        dot = {"markerfacecolor": face, "markersize": size}
        draw_interval(axes, place, gain, colour, linewidth=1.2, **dot)
    if cut is not None:
        axes.axhline(cut - 0.5, color=SOFT, linewidth=0.9, linestyle="--")
    names = [f"{gain.name} ({gain.hands})" for gain in gains]
    axes.set_yticks(range(len(gains)), names, fontsize=8)
    axes.set_ylim(len(gains) - 0.5, -0.5)
    axes.set_xlabel("difference of MPJPE, mm (left of 0: better)")
    plain(axes, title)
    _keep_in_view(axes, gains)
    hollow = Line2D(
        [], [], color=SOFT, marker="o", markerfacecolor="white", linestyle="",
        label="gesture not in pretraining",
    )  # fmt: skip
    finding_legend(figure, *([hollow] if any(gain.seen is False for gain in gains) else []))
    return to_png(figure)


def joint_gains_figure(pairs: Sequence[ComparedPair], *, title: str) -> bytes:
    """Draw the difference of each joint with its interval, a panel per pair, all on one scale."""
    columns = min(2, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = mpl.Figure(figsize=(4.8 * columns, 1.2 + 2.7 * rows), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=True)
    for place, axes in enumerate(panels.flat):
        if place >= len(pairs):
            axes.set_visible(False)
            continue
        _joints_of_pair(axes, pairs[place])
        axes.tick_params(labelbottom=place + columns >= len(pairs))
    for axes in panels[:, 0]:
        axes.set_ylabel("difference, mm\n(below 0: better)", fontsize=9)
    finding_legend(figure)
    return to_png(figure)


def _joints_of_pair(axes, pair: ComparedPair) -> None:
    axes.axhline(0, color=INK, linewidth=0.9)
    for place, gain in enumerate(pair.by_joint):
        draw_interval(axes, place, gain, FINDING_COLOURS[gain.finding], upright=True, markersize=4)
    names = [gain.name for gain in pair.by_joint]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7.5)
    plain(axes, pair.label)
    axes.title.set_fontsize(9)


def _keep_in_view(axes, gains: Sequence[GroupGain]) -> None:
    """Scale the axis to the dots; an interval of few clusters may leave the figure."""
    values = np.array([gain.difference_mm for gain in gains] + [0.0])
    margin = 0.2 * max(float(np.ptp(values)), 1.0)
    axes.set_xlim(values.min() - margin, values.max() + margin)
