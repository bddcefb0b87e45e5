"""Pictures of a transfer report: plain results in, PNG bytes out. Millimetres."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gesture_pretrain.report.figures import INK, SOFT, to_png
from gesture_pretrain.report.transfer_results import (
    ComparedPair,
    FeatureScore,
    GroupGain,
    PosePair,
    TableRow,
)
from gesture_pretrain.skeleton import BONES_MANO21

BETTER, WORSE, UNDECIDED = "#1a7f37", "#c62828", "#7a8694"
_COLOURS = {"better": BETTER, "worse": WORSE, "undecided": UNDECIDED, "not run": UNDECIDED}
_LINES = ("#1f5f99", "#d1661f", "#2e8b57", "#8e44ad", "#a0522d", "#c2185b", "#607d8b", "#00838f")
_GROUPS_SHOWN = 60


def difference_picture(pairs: Sequence[ComparedPair], *, title: str) -> bytes:
    """Difference and interval of each pair that was compared, first on top."""
    shown = [pair for pair in pairs if pair.joints is not None]
    figure = Figure(figsize=(9.6, 1.3 + 0.42 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=0.9)
    for place, pair in enumerate(shown):
        colour, d = _COLOURS[pair.finding], pair.joints
        if not np.isnan(d.low_mm):
            axes.plot([d.low_mm, d.high_mm], [place, place], color=colour, linewidth=2.4)
        axes.plot(d.per_seed_mm, [place] * d.seeds, "|", color=colour, markersize=11)
        axes.plot(d.difference_mm, place, "o", color=colour, markersize=6)
    axes.set_yticks(range(len(shown)), [pair.label for pair in shown], fontsize=8.5)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("difference of MPJPE, mm (left of 0: the first one is better)")
    _plain(axes, title)
    handles = [
        Line2D([], [], color=BETTER, marker="o", label="better after Holm"),
        Line2D([], [], color=WORSE, marker="o", label="worse after Holm"),
        Line2D([], [], color=UNDECIDED, marker="o", label="undecided"),
        Line2D([], [], color=SOFT, marker="|", linestyle="", markersize=10, label="one seed"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
    return to_png(figure)


def label_curves(rows: Sequence[TableRow], protocol: str, *, title: str) -> bytes:
    """MPJPE over the share of the labels, a panel per target, a line per arm, a dot per seed."""
    rows = [row for row in rows if not row.is_external and row.mpjpe_mm.get(protocol)]
    targets, arms = _names(rows, "target"), _names(rows, "arm")
    figure = Figure(figsize=(max(6.4, 4.8 * len(targets)), 4.0), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for place, target in enumerate(targets):
        axes = figure.add_subplot(1, len(targets), place + 1)
        for arm, colour in zip(arms, _cycle(len(arms)), strict=True):
            mine = [row for row in rows if (row.target, row.arm) == (target, arm)]
            mine.sort(key=lambda row: row.fraction)
            if not mine:
                continue
            x = [100 * row.fraction for row in mine]
            axes.plot(x, [np.mean(row.mpjpe_mm[protocol]) for row in mine], color=colour, label=arm)
            for share, row in zip(x, mine, strict=True):
                values = row.mpjpe_mm[protocol]
                axes.plot([share] * len(values), values, ".", color=colour, markersize=6)
        axes.set_xscale("log")
        axes.set_xticks([100 * f for f in sorted({row.fraction for row in rows})])
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.set_xlabel("pose labels used, %")
        axes.set_ylabel("MPJPE, mm")
        _plain(axes, target)
        axes.legend(fontsize=8)
    return to_png(figure)


def gesture_gains_picture(gains: Sequence[GroupGain], *, title: str) -> bytes:
    """Difference on each gesture, best on top; unseen ones are hollow."""
    gains = list(gains)
    if len(gains) > _GROUPS_SHOWN:
        half = _GROUPS_SHOWN // 2
        title += f"\n{half} best and {half} worst of {len(gains)}"
        gains = gains[:half] + gains[-half:]
    figure = Figure(figsize=(8.6, 1.4 + 0.17 * len(gains)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=0.9)
    for place, gain in enumerate(gains):
        colour = BETTER if gain.difference_mm < 0 else WORSE
        axes.plot([0, gain.difference_mm], [place, place], color=colour, linewidth=1.0)
        axes.plot(
            gain.difference_mm,
            place,
            "o",
            color=colour,
            markerfacecolor="white" if gain.seen is False else colour,
            markersize=3 + min(5.0, gain.hands**0.5 / 3),
        )
    names = [f"{gain.name} ({gain.hands})" for gain in gains]
    axes.set_yticks(range(len(gains)), names, fontsize=6.5)
    axes.set_ylim(len(gains) - 0.5, -0.5)
    axes.set_xlabel("difference of MPJPE, mm (left: better); hollow: gesture not in pretraining")
    _plain(axes, title)
    return to_png(figure)


def joint_gains_picture(pairs: Sequence[ComparedPair], *, title: str) -> bytes:
    """Difference of each joint, a line per pair."""
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0, color=INK, linewidth=0.9)
    for pair, colour in zip(pairs, _cycle(len(pairs)), strict=True):
        names = [gain.name for gain in pair.by_joint if gain.name != "wrist"]
        values = [gain.difference_mm for gain in pair.by_joint if gain.name != "wrist"]
        axes.plot(range(len(names)), values, "o-", color=colour, markersize=4, label=pair.label)
    axes.set_xticks(range(len(names)), names, rotation=60, fontsize=8)
    axes.set_ylabel("difference, mm (below 0: better)")
    _plain(axes, title)
    axes.legend(fontsize=7.5)
    return to_png(figure)


def foretelling_picture(features: Sequence[FeatureScore], *, title: str) -> bytes:
    """Probe error of frozen features against the error after fine-tuning, a panel per target."""
    features = [score for score in features if score.gain_mm]
    targets = list(dict.fromkeys(name for score in features for name in score.gain_mm))
    arms = _names(features, "arm")
    figure = Figure(figsize=(max(6.0, 4.6 * len(targets)), 3.9), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for place, target in enumerate(targets):
        axes = figure.add_subplot(1, len(targets), place + 1)
        for arm, colour in zip(arms, _cycle(len(arms)), strict=True):
            mine = [s for s in features if s.arm == arm and target in s.gain_mm]
            axes.plot(
                [s.probe_mpjpe_mm for s in mine],
                [s.gain_mm[target] for s in mine],
                "o",
                color=colour,
                label=arm,
            )
        axes.axhline(0, color=SOFT, linewidth=0.8)
        axes.set_xlabel("linear probe to joints, frozen features: MPJPE, mm")
        axes.set_ylabel("gain after fine-tuning, mm")
        _plain(axes, target)
        axes.legend(fontsize=8)
    return to_png(figure)


def pose_pairs_picture(
    pairs: Sequence[PosePair], *, title: str, arm: str, reference: str, columns: int = 3
) -> bytes:
    """Crops with the true pose and those of both systems."""
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(3.3 * columns, 3.75 * rows + 0.8), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for place, pair in enumerate(pairs):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(pair.crop_rgb, interpolation="bilinear")
        for points, colour in (
            (pair.truth_px, "#ffffff"),
            (pair.reference_px, "#ff9f1c"),
            (pair.arm_px, "#2ec4ff"),
        ):
            _skeleton(axes, points, colour)
        size = len(pair.crop_rgb)
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), xticks=[], yticks=[])
        axes.set_xlabel(pair.caption, fontsize=8)
    handles = [
        Line2D([], [], color="#b8c0c8", linewidth=2, label="truth (white)"),
        Line2D([], [], color="#ff9f1c", linewidth=2, label=reference),
        Line2D([], [], color="#2ec4ff", linewidth=2, label=arm),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return to_png(figure)


def _skeleton(axes, points_px: np.ndarray, colour: str) -> None:
    known = ~np.isnan(points_px).any(1)
    bones = [points_px[[a, b]] for a, b in BONES_MANO21 if known[a] and known[b]]
    axes.add_collection(LineCollection(bones, colors="black", linewidths=2.6, alpha=0.45))
    axes.add_collection(LineCollection(bones, colors=colour, linewidths=1.4))


def _names(items: Sequence, attribute: str) -> list[str]:
    return list(dict.fromkeys(getattr(item, attribute) for item in items))


def _cycle(count: int) -> list[str]:
    return [_LINES[i % len(_LINES)] for i in range(count)]


def _plain(axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.grid(color="#e6eaee", axis="both")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
