"""Check correctness and measure speed on a GPU.

    python tools/benchmark.py gpu --json gpu.json --page gpu.html

At most ten minutes on one device. Correctness: no operation of a step makes the host wait, bfloat16
against float32, an injected NaN, the compiled network, sampling of channels-last features, exact
resuming. Speed: Stage 1, token fusion and EANet by batch size, training fed from files, the loader,
latency. A failed check is listed with its message, and a check for which no time is left is listed
as left out. With --small, and on a CPU, all networks are tiny, which only tests the benchmark.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from gesture_pretrain.commands.benchmarks import gpu_checks, gpu_speed
from gesture_pretrain.commands.benchmarks.gpu_networks import NAMES, SMALL, Sizes
from gesture_pretrain.commands.benchmarks.measurement import (
    device_name,
    measurement,
    new_parser,
    write_json,
)
from gesture_pretrain.commands.benchmarks.rendered import render_index
from gesture_pretrain.commands.options import add_device
from gesture_pretrain.device import use_device
from gesture_pretrain.files import temporary_folder
from gesture_pretrain.report.page import Code, Page, Table

_VERSIONS = ("torch", "torchvision", "timm", "mmengine", "numpy")
_COLUMNS = ("check", "result", "seconds", "found")
Check = Callable[[], object]


def main(argv: list[str]) -> None:
    """Run everything, print a line each, write JSON and the page; status 1 if a check failed."""
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for the deterministic run
    device = use_device(arguments.device)
    small = arguments.small or device.type == "cpu"
    end = time.monotonic() + 60 * arguments.minutes
    with temporary_folder() as folder:
        sizes = SMALL if small else Sizes()
        index = render_index(folder / "data", images=sizes.images, size_px=sizes.size_px)
        rows = []
        for name, check in checks(index, sizes, device, arguments, small=small):
            rows.append(outcome(name, check, late=time.monotonic() > end))
            print("{name:36} {status:9} {seconds:6.1f} s  {found}".format(**rows[-1]), flush=True)
    results = {"device": device_name(device), "small": small, "checks": rows}
    document = measurement("gpu", argv, packages=_VERSIONS, results=results)
    write_json(arguments.json, document)
    print(f"written: {page(document).write(arguments.page)}")
    if any(row["status"] == "failed" for row in rows):
        raise SystemExit(1)


def checks(
    index: Path, sizes: Sizes, device: torch.device, arguments: argparse.Namespace, *, small: bool
) -> Iterator[tuple[str, Check]]:
    """Yield name and call of each check and measurement, the most informative first."""
    where = {"index": index, "sizes": sizes, "device": device}
    for check in (
        gpu_checks.no_host_waits,
        gpu_checks.bf16_is_fp32,
        gpu_checks.nan_is_no_step,
    ):
        for name in NAMES:
            yield f"{check.__name__} {name}", partial(check, name, **where)
    yield "channels_last_sampling", partial(gpu_checks.channels_last_sampling, device)
    yield "resumed_is_whole", partial(gpu_checks.resumed_is_whole, index, device)
    steps = 2 if small else 20
    for batch in (4,) if small else arguments.batch:
        for name in NAMES:
            speed = partial(gpu_speed.training_speed, name, batch=batch, steps=steps, **where)
            yield f"training_speed {name} {batch}", speed
    fed = {"batch": 4 if small else 64, "workers": 0 if small else arguments.workers}
    yield "fed_from_files", partial(gpu_speed.fed_from_files, steps=steps, **fed, **where)
    yield "loader_speed", partial(gpu_speed.loader_speed, index, sizes, batches=steps, **fed)
    for name in NAMES[1:]:
        yield f"latency {name}", partial(gpu_speed.latency, name, runs=10 * steps, **where)
    for name in () if small else NAMES:  # minutes each
        yield f"compiled_is_eager {name}", partial(gpu_checks.compiled_is_eager, name, **where)


def outcome(name: str, check: Check, *, late: bool) -> dict:
    """Run a check and return its name, status, seconds, and result or error."""
    start = time.perf_counter()
    if late:
        return {"name": name, "status": "left out", "seconds": 0.0, "found": "no time left"}
    try:
        status, found = "passed", check()
    except Exception as error:  # the next check is to run, and the page tells
        status, found = "failed", f"{type(error).__name__}: {error}"
    return {"name": name, "status": status, "seconds": time.perf_counter() - start, "found": found}


def page(document: dict) -> Page:
    """Make a page of the results."""
    results, machine = document["results"], document["machine"]
    rows = [
        (row["name"], row["status"], f"{row['seconds']:.1f}", _text(row["found"]))
        for row in results["checks"]
    ]
    facts = [document["time"], f"{machine['cores']} cores", f"{machine['memory_gb']} GB"]
    facts += [f"{name} {version}" for name, version in document["versions"].items()]
    return Page(
        title=f"GPU benchmark: {results['device']}{', small form' if results['small'] else ''}",
        subtitle=", ".join(facts),
        sections={
            "Checks": [Table(pd.DataFrame(rows, columns=_COLUMNS), is_text=True)],
            "Command": [Code(document["command"])],
        },
    )


def _text(found: object) -> str:
    if not isinstance(found, dict):
        return str(found)
    return ", ".join(f"{name} {value:.4g}" for name, value in found.items())


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("gpu", __doc__)
    add_device(parser)
    parser.add_argument("--small", action="store_true", help="tiny networks and few steps")
    parser.add_argument("--minutes", type=float, default=9.0, help="nothing starts after these")
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--workers", type=int, default=8, help="loading processes")
    parser.set_defaults(json=Path("gpu.json"))
    parser.add_argument("--page", type=Path, default=Path("gpu.html"), help="the same as a page")
    return parser
