"""Index against loading the annotations whole: seconds and memory at a fraction of full size.

Makes annotations of InterHand2.6M's structure, then measures each candidate in a process of its
own, with the files in the page cache:

    ours: build   read the annotations and write the index
    ours: open    open the index, then read random records
    json.load     what pycocotools, xtcocotools and mmpose begin with
"""

import argparse
import json
import multiprocessing
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from gesture_pretrain.commands.benchmarks.interhand_annotations import (
    FULL_IMAGES,
    write_annotations,
)
from gesture_pretrain.commands.benchmarks.measurement import measurement, new_parser, write_json
from gesture_pretrain.files import temporary_folder

_RECORDS = 20_000
_FULL_BYTES = 950_000_000  # of annotations and index at scale 1


def main(argv: list[str]) -> None:
    """Run the benchmark and print a table."""
    arguments = _parser().parse_args(argv)
    results = []
    with temporary_folder(arguments.work, round(_FULL_BYTES * arguments.scale)) as folder:
        write_annotations(folder, arguments.scale)
        print(f"{round(FULL_IMAGES * arguments.scale):,} images")
        for name in CANDIDATES:
            results.append({"scale": arguments.scale, "candidate": name, **_measure(name, folder)})
            print(_line(results[-1]), flush=True)
    document = measurement("index", argv, packages=["numpy"], results=results)
    write_json(arguments.json, document)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("index", __doc__)
    parser.add_argument(
        "--scale", type=float, default=0.1, help="fraction of 1,361,062 images (default: 0.1)"
    )
    parser.add_argument("--work", type=Path, help="folder for the files (0.95 GB at scale 1)")
    return parser


def _measure(name: str, folder: Path) -> dict:
    for path in folder.rglob("*.json"):  # into the page cache
        path.read_bytes()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(CANDIDATES[name], folder).result()


def _build(root: Path) -> dict:
    from gesture_pretrain.data.interhand.build import build_interhand_index

    return _timed(lambda: build_interhand_index(root, progress=False))


def _open(root: Path) -> dict:
    from gesture_pretrain.data.index.index import HandIndex

    measured = _timed(lambda: HandIndex.open(root))
    index, draw = HandIndex.open(root), random.Random(0)
    rows = [draw.randrange(len(index)) for _ in range(_RECORDS)]
    reading = _timed(lambda: [index.record(row) and None for row in rows])
    return measured | {"record_us": reading["seconds"] / _RECORDS * 1e6}


def _json_load(root: Path) -> dict:
    data = root / "annotations" / "train" / "InterHand2.6M_train_data.json"
    return _timed(lambda: json.loads(data.read_bytes()))


CANDIDATES = {"ours: build": _build, "ours: open": _open, "json.load": _json_load}


def _timed(load: Callable[[], object]) -> dict:
    """Measure seconds, and the resident memory before, with the result, and at the peak."""
    before, start = _memory_mib("VmRSS"), time.perf_counter()
    result = load()
    measured = {"seconds": time.perf_counter() - start, "before_mib": before}
    measured["after_mib"] = _memory_mib("VmRSS")
    del result
    return {**measured, "peak_mib": _memory_mib("VmHWM")}


def _memory_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def _line(row: dict) -> str:
    numbers = {key: value for key, value in row.items() if key not in ("scale", "candidate")}
    return f"{row['candidate']:12} " + "  ".join(f"{k} {v:,.3g}" for k, v in numbers.items())
