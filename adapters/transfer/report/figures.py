"""Figures of a transfer report: plain results in, PNG bytes out. Millimetres."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adapters.transfer.score.results import ComparedPair, FeatureScore, TableRow
from gesture_pretrain.report.figures import INK, SOFT, to_png

BETTER, WORSE, UNDECIDED = "#1a7f37", "#c62828", "#7a8694"
FINDING_COLOURS = {
    "better": BETTER, "worse": WORSE, "undecided": UNDECIDED, "not run": UNDECIDED,
    "did not learn": UNDECIDED,
}  # fmt: skip
# no green and no red, which say better and worse; seen on photographs as well
_ARMS = ("#ef8a17", "#1f8fe0", "#8e44ad", "#8d6e63", "#d81b9a", "#607d8b", "#00a3a3", "#b59f00")
_STYLES = ("-", "--", ":", "-.")


def arm_colours(arms: Sequence[str]) -> dict[str, str]:
    """Arm -> the one colour that it has in every figure of a report."""
    return {arm: _ARMS[place % len(_ARMS)] for place, arm in enumerate(arms)}


def difference_figure(pairs: Sequence[ComparedPair], *, title: str) -> bytes:
    """Difference and interval of each pair that was compared, first on top."""
    shown = [pair for pair in pairs if pair.joints is not None]
    figure = Figure(figsize=(9.6, 1.3 + 0.42 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=0.9)
    for place, pair in enumerate(shown):
        colour, d = FINDING_COLOURS[pair.finding], pair.joints
        if not np.isnan(d.low_mm):
            axes.plot([d.low_mm, d.high_mm], [place, place], color=colour, linewidth=2.4)
        axes.plot(d.per_seed_mm, [place] * d.seeds, "|", color=colour, markersize=11)
        axes.plot(d.difference_mm, place, "o", color=colour, markersize=6)
        axes.annotate(
            f"{d.difference_mm:+.1f} mm ({d.percent:+.0f} %)",
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            color=colour,
            fontsize=9,
            fontweight="bold",
        )
    axes.set_yticks(range(len(shown)), [pair.label for pair in shown], fontsize=8.5)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("difference of MPJPE, mm (left of 0: the first one has the lower error)")
    plain(axes, title)
    seeds = Line2D([], [], color=SOFT, marker="|", linestyle="", markersize=10, label="one seed")
    finding_legend(figure, seeds)
    return to_png(figure)


def finding_legend(figure: Figure, *more: Line2D) -> None:
    """What green, red and grey say, below the figure."""
    handles = [
        Line2D([], [], color=BETTER, marker="o", label="better after Holm"),
        Line2D([], [], color=WORSE, marker="o", label="worse after Holm"),
        Line2D([], [], color=UNDECIDED, marker="o", label="undecided"),
        *more,
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        fontsize=8.5,
        frameon=False,
    )


def label_curves(
    rows: Sequence[TableRow],
    pairs: Sequence[ComparedPair],
    protocol: str,
    *,
    title: str,
    colours: Mapping[str, str],
) -> bytes:
    """MPJPE over the share of the labels, and below the differences, a column per target.

    Above: a line per arm with the interval of its mean as a band, a dot per seed. Below: a line
    per declared comparison with its paired interval.
    """
    rows = [row for row in rows if not row.is_external and row.mpjpe_mm.get(protocol)]
    targets = _names(rows, "target")
    shares = [100 * f for f in sorted({row.fraction for row in rows})]
    figure = Figure(figsize=(max(6.4, 4.8 * len(targets)), 7.2), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(2, len(targets), squeeze=False, sharex=True, height_ratios=(3, 2))
    for (above, below), target in zip(panels.T, targets, strict=True):
        _curves_of_arms(above, [row for row in rows if row.target == target], protocol, colours)
        _differences_over_labels(below, [pair for pair in pairs if pair.target == target])
        plain(above, target)
        plain(below, "")
        below.set_xscale("log")
        below.set_xticks(shares)
        below.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        below.minorticks_off()
        below.set_xlabel("pose labels used, %")
    panels[0, 0].set_ylabel("MPJPE, mm")
    panels[1, 0].set_ylabel("paired difference, mm\n(below 0: better)")
    finding_legend(figure)
    return to_png(figure)


def _curves_of_arms(axes, rows: Sequence[TableRow], protocol: str, colours) -> None:
    for arm in _names(rows, "arm"):
        mine = sorted((row for row in rows if row.arm == arm), key=lambda row: row.fraction)
        x = [100 * row.fraction for row in mine]
        means = [np.mean(row.mpjpe_mm[protocol]) for row in mine]
        axes.plot(x, means, color=colours[arm], label=arm)
        bands = [(np.nan, np.nan) if r.interval_mm is None else r.interval_mm for r in mine]
        axes.fill_between(x, *np.transpose(bands), color=colours[arm], alpha=0.15, linewidth=0)
        for share, row in zip(x, mine, strict=True):
            values = row.mpjpe_mm[protocol]
            axes.plot([share] * len(values), values, ".", color=colours[arm], markersize=6)
    axes.legend(fontsize=8)


def _differences_over_labels(axes, pairs: Sequence[ComparedPair]) -> None:
    """A line style per comparison; the dots have the colour of the finding."""
    axes.axhline(0, color=INK, linewidth=0.9)
    pairs = [pair for pair in pairs if pair.joints is not None]
    kinds = dict.fromkeys((pair.arm, pair.reference, pair.reference_target) for pair in pairs)
    shares = [pair.fraction for pair in pairs]
    for number, kind in enumerate(kinds):
        mine = [p for p in pairs if (p.arm, p.reference, p.reference_target) == kind]
        mine.sort(key=lambda pair: pair.fraction)
        # a part of the axis aside, so that no interval covers another
        aside = (max(shares) / min(shares)) ** (0.022 * (number - (len(kinds) - 1) / 2))
        x = [100 * pair.fraction * aside for pair in mine]
        label = f"{kind[0]} – {kind[1]}"
        if kind[2] != mine[0].target:
            label += f" in {kind[2]}"
        style = _STYLES[number % len(_STYLES)]
        values = [pair.joints.difference_mm for pair in mine]
        axes.plot(x, values, style, color=SOFT, linewidth=1.2, label=label)
        for place, pair in zip(x, mine, strict=True):
            colour, d = FINDING_COLOURS[pair.finding], pair.joints
            axes.plot([place, place], [d.low_mm, d.high_mm], color=colour, linewidth=1.8)
            axes.plot(place, d.difference_mm, "o", color=colour, markersize=5)
    if pairs:
        axes.legend(fontsize=8)


def foretelling_figure(
    features: Sequence[FeatureScore], *, title: str, colours: Mapping[str, str]
) -> bytes:
    """Probe error of frozen features against the error after fine-tuning, a panel per target."""
    features = [score for score in features if score.gain_mm]
    targets = list(dict.fromkeys(name for score in features for name in score.gain_mm))
    arms = _names(features, "arm")
    figure = Figure(figsize=(max(6.0, 4.6 * len(targets)), 3.9), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for place, target in enumerate(targets):
        axes = figure.add_subplot(1, len(targets), place + 1)
        for arm in arms:
            mine = [s for s in features if s.arm == arm and target in s.gain_mm]
            axes.plot(
                [s.probe_mpjpe_mm for s in mine],
                [s.gain_mm[target] for s in mine],
                "o",
                color=colours[arm],
                label=arm,
            )
        axes.axhline(0, color=SOFT, linewidth=0.8)
        axes.set_xlabel("linear probe to joints, frozen features: MPJPE, mm")
        axes.set_ylabel("gain after fine-tuning, mm")
        plain(axes, target)
        axes.legend(fontsize=8)
    return to_png(figure)


def _names(items: Sequence, attribute: str) -> list[str]:
    return list(dict.fromkeys(getattr(item, attribute) for item in items))


def plain(axes, title: str) -> None:
    """Title, grid behind the data, no frame above and to the right."""
    axes.set_title(title, fontsize=10)
    axes.grid(color="#e6eaee", axis="both")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
