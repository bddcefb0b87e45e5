"""Check what this machine has and what is missing, and print the line that fixes it.

    %(prog)s

Exit status 0 if the core works; missing parts marked "optional" do not count. Only the standard
library is required to run it.
"""

import argparse
import importlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from gesture_pretrain.extras import EXTRA_OF

OK, MISSING, OPTIONAL = "ok", "MISSING", "optional"
# package, whose module has the same name, and its oldest version
CORE = {
    "torch": "2.4",
    "torchvision": "0",
    "timm": "1.0.19",
    "numpy": "1.26",
    "safetensors": "0",
    "platformdirs": "0",
    "pydantic": "2",
    "filelock": "0",
}
# top-level package of ours and a file that only ours has
PACKAGES = {"adapters": "targets.py", "eanet": "rotation_net.py"}


class Finding(NamedTuple):
    """One line of the diagnosis.

    Attributes:
        state: OK, MISSING (the core requires it) or OPTIONAL (missing, but the core works).
        what: What was checked and what was found.
        fix: The line that fixes it; empty if there is nothing to fix.
    """

    state: str
    what: str
    fix: str = ""


def add_options(_parser: argparse.ArgumentParser) -> None:
    """Add the options of this command: none."""


def run(_options: argparse.Namespace) -> int:
    """Print every finding and return the exit status."""
    states = []
    for finding in diagnose():
        states.append(finding.state)
        print(f"  {finding.state:9} {finding.what}", flush=True)
        if finding.fix:
            print(f"  {'':9} -> {finding.fix}")
    missing, optional = states.count(MISSING), states.count(OPTIONAL)
    if missing:
        print(f"\nThe core does not work: {missing} missing. `make env` installs everything.")
        return 1
    print(f"\nThe core works.{f' Optional and missing: {optional}.' if optional else ''}")
    return 0


def diagnose() -> Iterator[Finding]:
    """Run all checks, from the ground up."""
    yield Finding(OK, f"Python {platform.python_version()} on {platform.platform(terse=True)}")
    yield from (check_package(package, oldest) for package, oldest in CORE.items())
    yield from (check_extra(extra) for extra in dict.fromkeys(EXTRA_OF.values()))
    yield from (check_name(package) for package in PACKAGES)
    yield check_device()
    yield check_mano()
    yield check_registry()


def check_package(package: str, oldest: str) -> Finding:
    """Check that a core dependency is installed, recent enough and can be imported."""
    fix = f'pip install -U "{package} >= {oldest}"'
    if problem := _import_problem(package):
        return Finding(MISSING, f"{package}: {problem}", fix)
    version = getattr(sys.modules[package], "__version__", "0")
    if _numbers(version) < _numbers(oldest):
        return Finding(MISSING, f"{package} {version}; >= {oldest} is required", fix)
    return Finding(OK, f"{package} {version}")


def check_extra(extra: str) -> Finding:
    """Check the optional dependencies of one extra."""
    modules = [module for module, installed_by in EXTRA_OF.items() if installed_by == extra]
    problems = {module: _import_problem(module) for module in modules}
    broken = [f"{module} {problem}" for module, problem in problems.items() if problem]
    if broken:
        fix = f'pip install "gesture-pretrain[{extra}]"'
        return Finding(OPTIONAL, f"extra {extra}: {'; '.join(broken)}", fix)
    return Finding(OK, f"extra {extra}: {', '.join(modules)}")


def check_name(package: str) -> Finding:
    """Check that a top-level package of ours is not another project's of the same name."""
    spec = find_spec(package)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder and (folder / PACKAGES[package]).is_file():
        return Finding(OK, f"package {package} in {folder}")
    problem = f"{folder} belongs to another project" if folder else "not found"
    fix = f"pip uninstall the other project called {package}, then reinstall gesture-pretrain"
    return Finding(MISSING, f"package {package}: {problem}", fix)


def check_device() -> Finding:
    """Report what torch computes on, and a GPU that it does not see."""
    cores, torch = f"{os.cpu_count()} CPU cores", sys.modules.get("torch")
    if torch is None:
        return Finding(OPTIONAL, f"device: {cores}; GPUs are unknown without torch")
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Finding(OK, f"device: CUDA {torch.version.cuda}, {names}; {cores}")
    if shutil.which("nvidia-smi"):
        fix = "install a CUDA build of torch that fits the driver, pytorch.org/get-started/locally"
        return Finding(OPTIONAL, f"device: {cores}; torch sees no GPU, but nvidia-smi exists", fix)
    return Finding(OK, f"device: {cores}, no CUDA")


def check_mano() -> Finding:
    """Check for the licensed hand model; the bundled hand model replaces it."""
    try:
        from gesture_pretrain.hand.mano_file import find_mano_file

        found = [str(find_mano_file(hand)) for hand in ("right", "left")]
    except (ImportError, FileNotFoundError):
        folder = os.environ.get("MANO_DIR")
        state = f"not in MANO_DIR={folder}" if folder else "MANO_DIR is not set"
        fix = "export MANO_DIR=<folder with MANO_RIGHT.pkl and MANO_LEFT.pkl, mano.is.tue.mpg.de>"
        return Finding(OPTIONAL, f"MANO files: {state}; the bundled hand model is used", fix)
    return Finding(OK, f"MANO files: {', '.join(found)}")


def check_registry() -> Finding:
    """Check that exported weights can be stored."""
    try:
        from gesture_pretrain.weights.registry import HOME_VARIABLE, list_backbones, registry_home
    except ImportError as error:
        return Finding(MISSING, f"registry: cannot be imported ({error})", "make env")
    home = registry_home()
    nearest = next(folder for folder in [home, *home.absolute().parents] if folder.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        fix = f"export {HOME_VARIABLE}=<a writable folder>"
        return Finding(MISSING, f"registry: {home} cannot be written", fix)
    free_gb = shutil.disk_usage(nearest).free / 1e9
    count = len(list_backbones())
    return Finding(
        OK, f"registry: {home}, {count} backbones with the shipped ones, {free_gb:.1f} GB free"
    )


def _import_problem(module: str) -> str:
    """Why a module cannot be imported; empty if it can."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        return "not installed" if error.name == module else f"cannot be imported: {error}"
    except Exception as error:  # a foreign binary may raise anything, and that is the finding
        return f"cannot be imported: {type(error).__name__}: {error}".partition("\n")[0]
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version: "2.9.0+cpu" becomes (2, 9, 0)."""
    return tuple(int(part) for part in re.match(r"[\d.]*", version)[0].split(".") if part)
