"""The renderer of the embedded data set: images per second, by size and number of processes.

Each run renders a new data set into a temporary folder: pictures, annotations, everything. What it
takes to start the processes and to load the hand model is measured too and given apart, from a run
of one frame.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from gesture_pretrain.commands.benchmarks.measurement import measurement
from gesture_pretrain.synthetic.build import write_synthetic

_VERSIONS = ("numpy", "opencv-python", "torch", "embreex")
_CAMERAS = 4


def main(argv: list[str]) -> None:
    """Run the benchmark, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(prog="benchmark.py render", description=__doc__)
    parser.add_argument("--size", type=int, nargs="+", default=[144, 256], help="sides, pixels")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes")
    parser.add_argument("--images", type=int, default=240, help="of a run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args(argv)
    pairs = [(size, workers) for size in arguments.size for workers in arguments.workers]
    seconds: dict[tuple[int, int], list[tuple[float, float]]] = {pair: [] for pair in pairs}
    for _ in range(arguments.runs):  # in turn
        for pair in pairs:
            seconds[pair].append((_render(_CAMERAS, *pair), _render(arguments.images, *pair)))
    results = [_row(pair, arguments.images, times) for pair, times in seconds.items()]
    for row in results:
        print(f"{row['size_px']:4} px, {row['workers']} processes: "
              f"{row['images_per_s']:6.1f} images/s after {row['start_s']:4.1f} s of start, "
              f"{row['images_per_s_per_process']:5.1f} per process")  # fmt: skip
    if arguments.json is not None:
        document = measurement("render", argv, packages=_VERSIONS, results=results)
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
        print(f"written: {arguments.json}")


def _render(images: int, size_px: int, workers: int) -> float:
    with tempfile.TemporaryDirectory(prefix="render-benchmark-") as folder:
        start = time.perf_counter()
        write_synthetic(
            Path(folder) / "set",
            images_per_split={"train": images},
            subjects={"train": max(workers, 2)},
            size_px=size_px,
            cameras_per_frame=_CAMERAS,
            workers=workers,
            progress=False,
        )
        return time.perf_counter() - start


def _row(pair: tuple[int, int], images: int, times: list[tuple[float, float]]) -> dict:
    size_px, workers = pair
    start_s = statistics.median(start for start, _ in times)
    speed = statistics.median((images - _CAMERAS) / (whole - start) for start, whole in times)
    return {
        "size_px": size_px,
        "workers": workers,
        "start_s": start_s,
        "images_per_s": speed,
        "images_per_s_per_process": speed / workers,
        "seconds": times,
    }
