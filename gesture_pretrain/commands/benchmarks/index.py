"""Index against loading the annotations whole: seconds and memory at InterHand2.6M's size.

Makes annotations of the real structure, then measures each candidate in a process of its own, with
the files in the page cache. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gesture_pretrain.commands.benchmarks.index_probe import CANDIDATES
from gesture_pretrain.commands.benchmarks.interhand_annotations import (
    FULL_IMAGES,
    write_annotations,
)
from gesture_pretrain.commands.benchmarks.measurement import measurement, write_json

_PROBE = Path(__file__).with_name("index_probe.py")
_NEEDS = {"pycocotools": "pycocotools", "xtcocotools": "xtcocotools", "mmpose": "mmpose"}
_READ_AN_INDEX = ("ours: open", "ours: workers", "ours: epoch")
_VERSIONS = ("numpy", "pycocotools", "xtcocotools", "mmpose")


def main(argv: list[str]) -> None:
    """Run the benchmark and prints a table."""
    arguments = _parser().parse_args(argv)
    results = [row for scale in arguments.scale for row in _measure_scale(arguments, scale)]
    if arguments.json is not None:
        document = measurement("index", argv, packages=_VERSIONS, results=results)
        write_json(arguments.json, document)
        print(f"written: {arguments.json}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmark.py index", description=__doc__)
    parser.add_argument(
        "--scale", type=float, nargs="+", default=[0.1], help="fractions of 1,361,062 images"
    )
    parser.add_argument("--only", nargs="+", choices=list(CANDIDATES), help="these candidates")
    parser.add_argument(
        "--mmpose-limit", type=float, default=0.1, help="largest scale for mmpose (26 GiB at 1)"
    )
    parser.add_argument("--work", type=Path, help="folder for the files (0.95 GB at scale 1)")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    return parser


def _measure_scale(arguments: argparse.Namespace, scale: float) -> list[dict]:
    root = Path(tempfile.mkdtemp(prefix="index-benchmark-", dir=arguments.work))
    try:
        write_annotations(root, scale)
        data = root / "annotations" / "train" / "InterHand2.6M_train_data.json"
        print(
            f"\n{round(FULL_IMAGES * scale):,} images, "
            f"data.json {data.stat().st_size / 1e6:,.0f} MB"
        )
        rows = []
        for name in arguments.only or CANDIDATES:
            if why := _reason_to_skip(name, scale, arguments.mmpose_limit):
                print(f"{name:22} left out: {why}")
                continue
            if name in _READ_AN_INDEX and not (root / "index").exists():
                _measure("ours: build", root)  # one that --only leaves out
            rows.append({"scale": scale, "candidate": name, **_measure(name, root)})
            print(_line(rows[-1]), flush=True)
        return rows
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _reason_to_skip(name: str, scale: float, mmpose_limit: float) -> str | None:
    module = _NEEDS.get(name)
    if module is not None and importlib.util.find_spec(module) is None:
        return f"{module} is not installed"
    if name == "mmpose" and scale > mmpose_limit:
        return f"scale {scale} is above --mmpose-limit {mmpose_limit}"
    return None


def _measure(name: str, root: Path) -> dict:
    for path in root.rglob("*"):  # into the page cache
        if path.is_file():
            subprocess.run(["cat", str(path)], stdout=subprocess.DEVNULL, check=True)
    done = subprocess.run(
        [sys.executable, str(_PROBE), name, str(root)], capture_output=True, text=True
    )
    if done.returncode != 0:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def _line(row: dict) -> str:
    shown = {
        key: f"{value:,.3g}" if value < 1 else f"{value:,.1f}"
        for key, value in row.items()
        if isinstance(value, float) and key != "scale"
    }
    if "failed" in row:
        shown = {"failed": row["failed"]}
    return f"{row['candidate']:22} " + "  ".join(f"{key} {value}" for key, value in shown.items())
