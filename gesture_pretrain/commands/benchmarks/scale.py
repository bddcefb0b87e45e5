"""Cost by size: indexes of 10 k, 100 k and 1 M rows, one pass over each, and the memory it takes.

For each size, in a process of its own: build the index of made-up annotations; open it; then one
epoch in batches, in the sampler's shuffled order, of all that a loader reads of an index (box,
camera, joints, classes), without pictures. Growth of the resident memory counts, after the imports.
If cost is linear, the time per row does not change with the number of rows.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gesture_pretrain.commands.benchmarks.interhand_annotations import (
    FULL_IMAGES,
    write_annotations,
)
from gesture_pretrain.commands.benchmarks.measurement import measurement

_PROBE = Path(__file__).with_name("index_probe.py")
_VERSIONS = ("numpy", "torch")
_CANDIDATES = {"build": "ours: build", "epoch": "ours: epoch"}


def main(argv: list[str]) -> None:
    """Run the benchmark, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(prog="benchmark.py scale", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--work", type=Path, help="folder for the files (0.7 GB at 1 M rows)")
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args(argv)
    results = [_measure(rows, arguments.work) for rows in arguments.rows]
    _print_table(results)
    if arguments.json is not None:
        document = measurement("scale", argv, packages=_VERSIONS, results=results)
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
        print(f"written: {arguments.json}")


def _print_table(results: list[dict]) -> None:
    titles = ("rows", "build s", "peak MiB", "open ms", "epoch s", "us/row", "private", "resident")
    print("".join(f"{title:>12}" for title in titles) + "  (growth, MiB)")
    for row in results:
        build, epoch = row["build"], row["epoch"]
        cells = (build["seconds"], build["peak_mib"], 1000 * epoch["open_s"], epoch["seconds"])
        cells += (epoch["row_us"], epoch["private_mib"], epoch["resident_mib"])
        print(f"{row['rows']:12,}" + "".join(f"{cell:12.1f}" for cell in cells))


def _measure(rows: int, work: Path | None) -> dict:
    root = Path(tempfile.mkdtemp(prefix="scale-benchmark-", dir=work))
    try:
        write_annotations(root, rows / FULL_IMAGES)
        measured = {name: _probe(candidate, root) for name, candidate in _CANDIDATES.items()}
        return {"rows": rows, **measured}
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _probe(candidate: str, root: Path) -> dict:
    command = [sys.executable, str(_PROBE), candidate, str(root)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])
