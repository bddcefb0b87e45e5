"""Draws the ratios of stored benchmark results as one bar chart.

    python tools/benchmarks/chart.py docs/benchmarks docs/performance.svg

Reads the JSON files that `tools/benchmark.py NAME --json FILE` wrote, those it knows by name.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

Bar = tuple[str, float]


def write_chart(argv: list[str]) -> None:
    """Draw the chart of a folder of results into an SVG or PNG file."""
    if len(argv) != 2:
        raise SystemExit(__doc__)
    folder, out = map(Path, argv)
    panels = list(read_panels(folder))
    if not panels:
        raise SystemExit(f"{folder} has no result of {', '.join(_READERS)}")
    draw(panels, out)
    print(f"written: {out}")


def read_panels(folder: Path) -> Iterator[tuple[str, list[Bar]]]:
    """Title and bars of each result in the folder."""
    for name, reader in _READERS.items():
        path = folder / f"{name}.json"
        if path.is_file():
            yield reader(json.loads(path.read_text(encoding="utf-8"))["results"])


def draw(panels: list[tuple[str, list[Bar]]], out: Path) -> None:
    """One panel below the other; a line marks 1, the speed of what is compared with."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = [len(bars) + 1.4 for _, bars in panels]
    figure, axes = pyplot.subplots(
        len(panels),
        1,
        figsize=(8, 0.34 * sum(heights)),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
        layout="constrained",
    )
    for axis, (title, bars) in zip(axes[:, 0], panels, strict=True):
        names, values = zip(*bars, strict=True)
        axis.barh(range(len(bars)), values, color="#4477aa", height=0.65)
        axis.axvline(1, color="#333333", linewidth=1, linestyle="--")
        axis.set_yticks(range(len(bars)), names, fontsize=8)
        axis.set_ylim(len(bars) - 0.3, -0.7)
        axis.set_xlim(0, 1.15 * max(*values, 1))
        axis.set_title(title, fontsize=9, loc="left")
        axis.tick_params(axis="x", labelsize=8)
        for place, value in enumerate(values):
            axis.annotate(
                f"{value:.2f}",
                (value, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.savefig(out, dpi=130, metadata={"Date": None} if out.suffix == ".svg" else None)
    pyplot.close(figure)


def _index(results: list[dict]) -> tuple[str, list[Bar]]:
    full = max(row["scale"] for row in results)
    peaks = {
        row["candidate"]: row["peak_mib"]
        for row in results
        if row["scale"] == full and "peak_mib" in row
    }
    ours = peaks.pop("ours: build")
    title = f"Peak memory of loading the annotations over building our index (scale {full:g})"
    return title, [(n, peak / ours) for n, peak in peaks.items() if not n.startswith("ours")]


def _loader(results: dict) -> tuple[str, list[Bar]]:
    title = "Loader, images/s of one process over bare imread and warpAffine (CPU)"
    return title, [(name, row["of_bare"]) for name, row in results.items() if name != "bare"]


def _fed(results: dict) -> tuple[str, list[Bar]]:
    title = f"Training step fed from files over one on tensors ({results['device']})"
    return title, [(f"batch {results['batch']}", results["fed"]["fed_of_ours"])]


def _options(results: dict) -> tuple[str, list[Bar]]:
    title = (
        f"Training step by option, speed over the plain step ({results['arch']}, "
        f"{results['size_px']} px, batch {results['batch']}, {results['device']})"
    )
    speeds = results["speed_of_plain"]
    return title, [(name, value) for name, value in speeds.items() if name != "plain"]


def _step(results: dict) -> tuple[str, list[Bar]]:
    title = f"Training step, ours over timm in a bare loop ({results['device']})"
    return title, [(f"batch {results['batch']}", results["ours_of_bare"])]


def _token_fusion(results: dict) -> tuple[str, list[Bar]]:
    title = (
        f"Token fusion over our EANet, images/s ({results['arch']} in both, "
        f"{results['size_px']} px, {results['device']})"
    )
    return title, [
        (f"{way}, batch {row['batch']}", ratio)
        for row in results["batches"]
        for way, ratio in row["token_fusion_over_eanet"].items()
    ]


def _eanet(results: dict) -> tuple[str, list[Bar]]:
    return f"Our EANet over its eager float32 form, images/s ({results['device']})", [
        (f"{way}, batch {row['batch']}", speed / row["images_per_second"]["eager"])
        for row in results["batches"]
        for way, speed in row["images_per_second"].items()
        if way != "eager"
    ]


_READERS: dict[str, Callable[[dict], tuple[str, list[Bar]]]] = {
    "index": _index,
    "loader": _loader,
    "training_options": _options,
    "step": _step,
    "step_fed": _fed,
    "token_fusion": _token_fusion,
    "eanet": _eanet,
}

if __name__ == "__main__":
    write_chart(sys.argv[1:])
