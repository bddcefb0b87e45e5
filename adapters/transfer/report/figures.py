"""Figures of a transfer report: plain results in, PNG bytes out. Millimetres."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adapters.transfer.score.results import ComparedPair, FeatureScore, GroupGain
from gesture_pretrain.evaluation.statistics.comparison import PairedDifference
from gesture_pretrain.report.figures import INK, SOFT, plain, to_png

BETTER, WORSE, UNDECIDED = "#1a7f37", "#c62828", "#7a8694"
FINDING_COLOURS = {
    "better": BETTER, "worse": WORSE, "undecided": UNDECIDED, "not run": UNDECIDED,
    "did not learn": UNDECIDED,
}  # fmt: skip
# neither green nor red, which mean better and worse
_ARMS = ("#ef8a17", "#1f8fe0", "#8e44ad", "#8d6e63", "#d81b9a", "#607d8b", "#00a3a3", "#b59f00")


def arm_colours(arms: Sequence[str]) -> dict[str, str]:
    """Choose the colour that each arm has in all figures of a report."""
    return {arm: _ARMS[place % len(_ARMS)] for place, arm in enumerate(arms)}


def difference_figure(pairs: Sequence[ComparedPair], *, title: str) -> bytes:
    """Draw difference and interval of each compared pair, the first on top."""
    shown = [pair for pair in pairs if pair.joints is not None]
    figure = Figure(figsize=(9.6, 1.3 + 0.42 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=0.9)
    for place, pair in enumerate(shown):
        colour, d = FINDING_COLOURS[pair.finding], pair.joints
        draw_interval(axes, place, d, colour, linewidth=2.4, markersize=6)
        axes.plot(d.per_seed_mm, [place] * d.seeds, "|", color=colour, markersize=11)
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


def draw_interval(
    axes,
    place: float,
    d: PairedDifference | GroupGain,
    colour: str,
    *,
    upright: bool = False,
    linewidth: float = 1.6,
    **dot,
) -> None:
    """Draw a difference as a dot and its 95 % interval as a bar, at a place of the other axis."""
    bar, point = ([d.low_mm, d.high_mm], [place, place]), (d.difference_mm, place)
    if upright:
        bar, point = bar[::-1], point[::-1]
    axes.plot(*bar, color=colour, linewidth=linewidth)
    axes.plot(*point, "o", color=colour, **dot)


def finding_legend(figure: Figure, *more: Line2D) -> None:
    """Explain green, red and grey below the figure."""
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


def prediction_figure(
    features: Sequence[FeatureScore], *, title: str, colours: Mapping[str, str]
) -> bytes:
    """Draw the gain after fine-tuning over the probe error of frozen features, per target."""
    features = [score for score in features if score.gain_mm]
    targets = list(dict.fromkeys(name for score in features for name in score.gain_mm))
    arms = distinct(features, "arm")
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


def distinct(items: Sequence, attribute: str) -> list:
    """List the values of an attribute once each, in order."""
    return list(dict.fromkeys(getattr(item, attribute) for item in items))
