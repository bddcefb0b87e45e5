"""Learning curves of a transfer report, over labels and over steps. Millimetres."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from adapters.transfer.report.figures import (
    FINDING_COLOURS,
    distinct,
    draw_interval,
    finding_legend,
)
from adapters.transfer.score.results import ComparedPair, TableRow, percent
from gesture_pretrain.report.figures import INK, SOFT, plain, to_png

_STYLES = ("-", "--", ":", "-.")


def label_curves(
    rows: Sequence[TableRow],
    pairs: Sequence[ComparedPair],
    protocol: str,
    *,
    title: str,
    colours: Mapping[str, str],
) -> bytes:
    """Draw MPJPE over the fraction of the labels, and the differences below, a column per target.

    Above: a line per arm with the interval of its mean as a band, a dot per seed. Below: a line
    per declared comparison with its paired interval.
    """
    rows = [row for row in rows if not row.is_external and row.mpjpe_mm.get(protocol)]
    targets = distinct(rows, "target")
    fractions = [100 * f for f in sorted({row.fraction for row in rows})]
    figure = Figure(figsize=(max(6.4, 4.8 * len(targets)), 7.2), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(2, len(targets), squeeze=False, sharex=True, height_ratios=(3, 2))
    for (above, below), target in zip(panels.T, targets, strict=True):
        _curves_of_arms(above, [row for row in rows if row.target == target], protocol, colours)
        _differences_over_labels(below, [pair for pair in pairs if pair.target == target])
        plain(above, target)
        plain(below, "")
        below.set_xscale("log")
        below.set_xticks(fractions)
        below.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        below.minorticks_off()
        below.set_xlabel("pose labels used, %")
    panels[0, 0].set_ylabel("MPJPE, mm")
    panels[1, 0].set_ylabel("paired difference, mm\n(below 0: better)")
    finding_legend(figure)
    return to_png(figure)


def _curves_of_arms(axes, rows: Sequence[TableRow], protocol: str, colours) -> None:
    for arm in distinct(rows, "arm"):
        mine = sorted((row for row in rows if row.arm == arm), key=lambda row: row.fraction)
        x = [100 * row.fraction for row in mine]
        means = [np.mean(row.mpjpe_mm[protocol]) for row in mine]
        axes.plot(x, means, color=colours[arm], label=arm)
        bands = [(np.nan, np.nan) if r.interval_mm is None else r.interval_mm for r in mine]
        axes.fill_between(x, *np.transpose(bands), color=colours[arm], alpha=0.15, linewidth=0)
        for fraction, row in zip(x, mine, strict=True):
            values = row.mpjpe_mm[protocol]
            axes.plot([fraction] * len(values), values, ".", color=colours[arm], markersize=6)
    axes.legend(fontsize=8)


def _differences_over_labels(axes, pairs: Sequence[ComparedPair]) -> None:
    """Draw a line style per comparison; the dots have the colour of the finding."""
    axes.axhline(0, color=INK, linewidth=0.9)
    pairs = [pair for pair in pairs if pair.joints is not None]
    kinds = dict.fromkeys((pair.arm, pair.reference, pair.reference_target) for pair in pairs)
    fractions = [pair.fraction for pair in pairs]
    for number, kind in enumerate(kinds):
        mine = [p for p in pairs if (p.arm, p.reference, p.reference_target) == kind]
        mine.sort(key=lambda pair: pair.fraction)
        # shift along the axis, so that intervals do not overlap
        aside = (max(fractions) / min(fractions)) ** (0.022 * (number - (len(kinds) - 1) / 2))
        x = [100 * pair.fraction * aside for pair in mine]
        label = f"{kind[0]} – {kind[1]}"
        if kind[2] != mine[0].target:
            label += f" in {kind[2]}"
        style = _STYLES[number % len(_STYLES)]
        values = [pair.joints.difference_mm for pair in mine]
        axes.plot(x, values, style, color=SOFT, linewidth=1.2, label=label)
        for place, pair in zip(x, mine, strict=True):
            colour = FINDING_COLOURS[pair.finding]
            draw_interval(axes, place, pair.joints, colour, upright=True, markersize=5)
    if pairs:
        axes.legend(fontsize=8)


def step_curves(curves: pd.DataFrame, *, title: str, colours: Mapping[str, str]) -> bytes:
    """Draw the error over fine-tuning steps, a row per fraction and a column per target."""
    targets, fractions = curves["target"].unique(), sorted(curves["fraction"].unique())
    size = (max(6.4, 4.8 * len(targets)), 0.8 + 3.2 * len(fractions))
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(len(fractions), len(targets), squeeze=False)
    for row, fraction in zip(panels, fractions, strict=True):
        for axes, target in zip(row, targets, strict=True):
            mine = curves[(curves["target"] == target) & (curves["fraction"] == fraction)]
            for arm, points in mine.groupby("arm", sort=False):
                axes.plot(points["steps"], points["error_mm"], ".", color=colours[arm])
                means = points.groupby("steps")["error_mm"].mean()
                axes.plot(means.index, means, color=colours[arm], label=arm)
            plain(axes, f"{target}, {percent(fraction)} of the labels")
            axes.set_xlabel("fine-tuning steps")
            axes.legend(fontsize=8)
        row[0].set_ylabel("MPJPE, mm")
    return to_png(figure)
