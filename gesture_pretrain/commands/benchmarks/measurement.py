"""What the benchmarks share: options, timing, and the JSON document with machine and versions."""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.versions import versions_of


def measurement(
    benchmark: str, argv: Sequence[str], *, packages: Sequence[str], results: object
) -> dict:
    """Return the JSON document of one run; see `versions_of`."""
    return {
        "benchmark": benchmark,
        "command": " ".join(["python tools/benchmark.py", benchmark, *argv]),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "system": platform.platform(),
        },
        "versions": {
            "python": platform.python_version(),
            **versions_of(packages),
        },
        "results": results,
    }


def new_parser(benchmark: str, text: str | None) -> argparse.ArgumentParser:
    """Make the parser of a benchmark, with the option --json."""
    parser = argparse.ArgumentParser(
        prog=f"benchmark.py {benchmark}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, help="write the numbers here")
    return parser


def write_json(path: Path | None, document: dict) -> None:
    """Write the document of a run, if a path is given. Raises `DiskFull` or `WriteFailed`."""
    if path is not None:
        write_bytes_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
        print(f"written: {path}")


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or "CPU"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def synchronise(device: torch.device) -> None:
    """Wait for a GPU; a CPU has always finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(call: Callable[[], object], device: torch.device, count: int = 1) -> float:
    """Return the seconds that `count` calls take on the device."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(count):
        call()
    synchronise(device)
    return time.perf_counter() - start
