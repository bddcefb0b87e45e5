"""load_backbone against timm.create_model(checkpoint_path=...) on the same local file.

Each measurement is a new process; the two candidates take turns. `load` is the call alone, after
the imports; `total` includes the imports. Ours also checks the file's SHA-256 and the card. The
files are in the page cache. Only architectures that timm has can be compared.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from gesture_pretrain.commands.benchmarks.measurement import measurement

_CANDIDATES = {
    "gesture_pretrain": """
import sys, time
start = time.perf_counter()
import gesture_pretrain.weights.registry as registry
imported = time.perf_counter()
registry.load_backbone(sys.argv[2])
""",
    "timm": """
import sys, time
start = time.perf_counter()
import timm
imported = time.perf_counter()
timm.create_model(sys.argv[1], num_classes=0, checkpoint_path=sys.argv[2] + "/model.safetensors")
""",
}
_REPORT = "print(time.perf_counter() - imported, time.perf_counter() - start)"
_VERSIONS = ("torch", "timm", "safetensors")


def main(argv: list[str]) -> None:
    """Run the benchmark, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(prog="benchmark.py load", description=__doc__)
    parser.add_argument("--arch", nargs="+", default=["resnet18", "hrnet_w18", "hrnet_w48"])
    parser.add_argument("--runs", type=int, default=7, help="processes of each candidate")
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        results = [_measure(arch, arguments.runs, Path(folder)) for arch in arguments.arch]
    _print_table(results)
    if arguments.json is not None:
        document = measurement("load", argv, packages=_VERSIONS, results=results)
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
        print(f"written: {arguments.json}")


def _measure(arch: str, runs: int, folder: Path) -> dict:
    from gesture_pretrain import export_backbone
    from gesture_pretrain.models.backbone import build_backbone

    stored = export_backbone(build_backbone(arch), tag="benchmark", out=folder)
    seconds = {name: {"load": [], "total": []} for name in _CANDIDATES}
    for run in range(runs + 1):  # the first fills the caches and is not counted
        for name, code in _CANDIDATES.items():
            load, total = _timed(code, arch, stored.path)
            if run:
                seconds[name]["load"].append(load)
                seconds[name]["total"].append(total)
    return {
        "arch": arch,
        "megabytes": stored.record.files["model.safetensors"].size_bytes / 1e6,
        "seconds": seconds,
        "ratio": {
            what: _median(seconds["gesture_pretrain"][what]) / _median(seconds["timm"][what])
            for what in ("load", "total")
        },
    }


def _timed(code: str, arch: str, path: Path) -> tuple[float, float]:
    command = [sys.executable, "-c", code + _REPORT, arch, str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    load, total = map(float, done.stdout.split())
    return load, total


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _print_table(results: list[dict]) -> None:
    print(f"{'':12} {'':>8}  {'load [s]':>22}  {'total [s]':>22}")
    print(
        f"{'':12} {'MB':>8}  {'ours':>7} {'timm':>7} {'ratio':>6}"
        + f"  {'ours':>7} {'timm':>7} {'ratio':>6}"
    )
    for result in results:
        cells = []
        for what in ("load", "total"):
            ours, timm = (_median(result["seconds"][name][what]) for name in _CANDIDATES)
            cells.append(f"{ours:7.3f} {timm:7.3f} {result['ratio'][what]:6.2f}")
        print(f"{result['arch']:12} {result['megabytes']:8.1f}  " + "  ".join(cells))
