"""Draw docs/method.svg, the figure of the README: python docs/method_figure.py"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams |= {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "method",  # the same bytes at each run
    "font.family": "sans-serif",
    "font.size": 9,
}

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch  # noqa: E402

INK, MUTED, LINE = "#1f2933", "#52606d", "#7b8794"
STAGE1, STORE, STAGE2 = "#e3f0fb", "#fdf3d7", "#e6f5ea"


def box(axes, x, y, width, height, title, lines=(), colour="white") -> None:
    """Draw a rounded box with a title and smaller lines below it."""
    axes.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.12", fc=colour, ec=LINE
        )
    )
    top = y + height / 2 + 0.16 * len(lines)
    axes.text(x + width / 2, top, title, ha="center", va="center", weight="bold", color=INK)
    for number, line in enumerate(lines, 1):
        at = (x + width / 2, top - 0.33 * number)
        axes.text(*at, line, ha="center", va="center", size=7.6, color=MUTED)


def arrow(axes, start, end) -> None:
    """Draw an arrow between two points."""
    style = {"arrowstyle": "-|>", "mutation_scale": 11, "color": LINE, "shrinkA": 1, "shrinkB": 1}
    axes.add_patch(FancyArrowPatch(start, end, **style))


def heading(axes, x, text) -> None:
    """Write the name of a column."""
    axes.text(x, 5.05, text, ha="center", color=MUTED, size=9.5)


def draw(path: Path) -> None:
    """Draw the figure into a file."""
    figure, axes = plt.subplots(figsize=(11.5, 4.1))
    axes.set(xlim=(0, 14), ylim=(0, 5.3))
    axes.axis("off")
    heading(axes, 2.95, "Stage 1: gesture pretraining")
    heading(axes, 7.45, "Registry")
    heading(axes, 11.5, "Stage 2: 3D hand pose")

    box(axes, 0.1, 2.0, 1.5, 1.2, "Image", ["hand crop", "gesture label"], STAGE1)
    box(axes, 2.1, 2.0, 1.7, 1.2, "Backbone", ["HRNet or any", "timm model"], STAGE1)
    box(axes, 4.3, 3.3, 1.7, 0.95, "Coarse head", ["54 classes"], STAGE1)
    box(axes, 4.3, 0.95, 1.7, 0.95, "Fine head", ["70 classes"], STAGE1)
    arrow(axes, (1.6, 2.6), (2.1, 2.6))
    arrow(axes, (3.8, 2.75), (4.3, 3.7))
    arrow(axes, (3.8, 2.45), (4.3, 1.5))
    loss = r"$L = CE_{coarse} + \lambda\, CE_{fine}$"
    axes.text(5.15, 0.5, loss, ha="center", color=MUTED, size=9.5)

    card = ["weights + heads", "card: data, licence,", "hash"]
    box(axes, 6.4, 1.85, 2.1, 1.5, "arch.tag", card, STORE)
    arrow(axes, (3.8, 2.6), (6.4, 2.6))

    rows = [
        (4.0, "Token fusion", "the paper's estimator"),
        (2.75, "EANet", "clean-room implementation"),
        (1.5, "Your network", "a target plug-in, or load_backbone"),
        (0.25, "timm, mmpose, ONNX, hub", "exported files"),
    ]
    for y, title, line in rows:
        box(axes, 9.3, y, 3.4, 0.95, title, [line], STAGE2)
        arrow(axes, (8.5, 2.6), (9.3, y + 0.48))
    for y in (4.48, 3.23, 1.98):
        arrow(axes, (12.7, y), (13.15, 2.95))
    axes.text(13.2, 2.75, "paired\ncomparison", va="center", size=9, color=INK)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(__file__).with_name("method.svg"))
