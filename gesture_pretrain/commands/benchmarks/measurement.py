"""What stands beside every measured figure: machine, versions, command, time."""

import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.versions import versions_of


def measurement(
    benchmark: str, argv: Sequence[str], *, packages: Sequence[str], results: object
) -> dict:
    """The JSON document of one run; see `versions_of`."""
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


def write_json(path: Path, document: dict) -> None:
    """Write the document of a run. Raises `DiskFull` or `WriteFailed`."""
    write_bytes_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
