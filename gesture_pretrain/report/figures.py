"""Figures of a report: functions from arrays to PNG bytes.

They use matplotlib's object interface, which needs no window system and no global state.
Letters: N points, K classes.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

DPI = 110
INK, SOFT = "#1c2430", "#5a6675"


def to_png(figure: Figure, *, dpi: int = DPI) -> bytes:
    """Encode a matplotlib figure as PNG, without parsing dollar signs in text as math."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    # omit the software version, so that equal figures have equal bytes
    figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue()


def plain(axes, title: str) -> None:
    """Set the title, a grid behind the data, and no frame above and to the right."""
    axes.set_title(title, fontsize=10)
    axes.grid(color="#e6eaee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def confusion_figure(confusion: np.ndarray, names: Sequence[str], title: str) -> bytes:
    """Draw a confusion matrix with normalised rows, without empty classes.

    Args:
        confusion: (K, K) counts, rows = true class.
        names: K class names.
        title: Title of the figure.
    """
    used = np.flatnonzero(confusion.sum(1) + confusion.sum(0))
    counts = confusion[np.ix_(used, used)].astype(float)
    fraction = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(0.155 * len(used) + 2.4, 4.2, 11.0))
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(fraction, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    labels = [names[i] for i in used]
    size = 6 if len(used) > 30 else 8
    axes.set_xticks(range(len(used)), labels, rotation=90, fontsize=size)
    axes.set_yticks(range(len(used)), labels, fontsize=size)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(title, fontsize=11)
    axes.tick_params(length=0)
    figure.colorbar(shown, ax=axes, shrink=0.6, label="fraction of the true class")
    return to_png(figure)


def embedding_figure(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    title: str,
    num_classes: int | Mapping[str, int],
    left_hand: Mapping[str, np.ndarray] | None = None,
) -> bytes:
    """Draw point clouds side by side, coloured by class.

    Args:
        panels: Title -> (points (N, 2), classes (N,)); -1 is drawn grey.
        num_classes: K, for all panels or by title.
        left_hand: Title -> (N,) bool; left hands are drawn as triangles.
    """
    figure = Figure(figsize=(5.1 * len(panels), 5.4), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for position, (name, (points, classes)) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), position + 1)
        count = num_classes if isinstance(num_classes, int) else num_classes[name]
        colours = class_colours(count)[classes]
        colours[classes < 0] = (0.8, 0.8, 0.8, 1.0)
        left = np.zeros(len(points), bool) if left_hand is None else left_hand[name]
        for marker, chosen in (("o", ~left), ("^", left)):
            axes.scatter(*points[chosen].T, c=colours[chosen], marker=marker, s=11, linewidths=0)
        axes.set_title(name, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color("#c8d0d8")
    if left_hand is not None and any(left.any() for left in left_hand.values()):
        handles = [
            Line2D([], [], color=SOFT, linestyle="", markersize=5, marker=marker, label=text)
            for marker, text in (("o", "right or unknown hand"), ("^", "left hand"))
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=2, fontsize=9, frameon=False
        )
    return to_png(figure)


def class_colours(num_classes: int) -> np.ndarray:
    """Choose K distinguishable colours (K, 4): hues around the circle in three brightnesses."""
    position = np.arange(num_classes)
    colours = colormaps["hsv"]((position * 0.618034) % 1.0)
    strength = np.array([1.0, 0.72, 0.5])[position % 3]
    colours[:, :3] *= strength[:, None]
    return colours


def curve_figure(
    curves: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], *, title: str, x_label: str
) -> bytes:
    """Draw panels of training curves.

    Args:
        curves: Panel title -> curve name -> (x (N,), y (N,)).
    """
    figure = Figure(figsize=(4.6 * len(curves), 3.6), layout="constrained")
    figure.suptitle(title, fontsize=12)
    for position, (panel, lines) in enumerate(curves.items()):
        axes = figure.add_subplot(1, len(curves), position + 1)
        for name, (x, y) in lines.items():
            axes.plot(
                x, y, label=name, linewidth=1.6, marker="o" if len(x) < 15 else None, markersize=3
            )
        plain(axes, panel)
        axes.set_xlabel(x_label)
        axes.legend(fontsize=8)
    return to_png(figure)


def joint_error_figure(
    errors: Mapping[str, np.ndarray], joint_names: Sequence[str], *, title: str
) -> bytes:
    """Draw the mean error of each joint, one line per method.

    Args:
        errors: Method -> (M, 21) mm, NaN where not counted.
        joint_names: 21 names.
    """
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    axes = figure.add_subplot()
    first = len(joint_names)  # the wrist is shown only if it is counted
    for name, values in errors.items():
        counted = ~np.isnan(values).all(0)
        first = min([first, *np.flatnonzero(counted)])
        axes.plot(
            np.flatnonzero(counted),
            np.nanmean(values[:, counted], axis=0),
            marker="o",
            markersize=4,
            linewidth=1.4,
            label=name,
        )
    axes.set_xticks(range(len(joint_names)), joint_names, rotation=60, fontsize=8)
    axes.set_xlim(first - 0.5, len(joint_names) - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mean error, mm")
    plain(axes, title)
    axes.legend(fontsize=8)
    return to_png(figure)
