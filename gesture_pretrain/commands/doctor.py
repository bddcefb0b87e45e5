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
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

OK, MISSING, OPTIONAL = "ok", "MISSING", "optional"
# xtcocotools does not build on Python 3.13; pycocotools then serves in its place
COCO_TOOLS = "xtcocotools" if sys.version_info < (3, 13) else "pycocotools"
MMPOSE_FIX = (
    "pip install cython munkres json_tricks six && "
    f"pip install --no-build-isolation --no-binary {COCO_TOOLS} {COCO_TOOLS} && "
    "pip install --no-deps mmpose==1.3.2 mmcv-lite==2.1.0 mmdet==3.2.0"
)
# module, oldest version, package on PyPI
CORE = [
    ("torch", "2.4", "torch"),
    ("torchvision", "0", "torchvision"),
    ("timm", "1.0.19", "timm"),
    ("numpy", "1.26", "numpy"),
    ("safetensors", "0", "safetensors"),
    ("platformdirs", "0", "platformdirs"),
    ("pydantic", "2", "pydantic"),
    ("filelock", "0", "filelock"),
]
# extra -> modules that it installs
EXTRAS = {
    "train": ("mmengine", "cv2", "scipy", "tensorboard", "tqdm", "PIL"),
    "mano": ("smplx",),
    "render": ("embreex", "threadpoolctl"),
    "report": ("sklearn", "matplotlib"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "hub": ("huggingface_hub",),
    "cluster": ("submitit",),
}


@dataclass(frozen=True)
class Finding:
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
    findings = []
    for finding in diagnose():
        findings.append(finding)
        print(f"  {finding.state:9} {finding.what}", flush=True)
        if finding.fix:
            print(f"  {'':9} -> {finding.fix}")
    missing, optional = (sum(f.state == s for f in findings) for s in (MISSING, OPTIONAL))
    if missing:
        print(f"\nThe core does not work: {missing} missing. `make env` installs everything.")
        return 1
    print(f"\nThe core works.{f' Optional and missing: {optional}.' if optional else ''}")
    return 0


def diagnose() -> Iterator[Finding]:
    """Run all checks, from the ground up."""
    yield check_python()
    for module, oldest, package in CORE:
        yield check_module(module, oldest, package)
    for extra, modules in EXTRAS.items():
        yield check_extra(extra, modules)
    for package in ("adapters", "eanet"):
        yield check_name(package)
    yield check_device()
    yield check_shared_memory()
    yield check_mmpose()
    yield check_mano()
    yield check_registry()


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Check the version of the interpreter."""
    what = f"Python {'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version < (3, 10):
        return Finding(MISSING, f"{what}; >= 3.10 is required", "make env PYTHON=python3.11")
    return Finding(OK, what)


def check_module(module: str, oldest: str, package: str) -> Finding:
    """Check that a core dependency is installed, recent enough and can be imported."""
    version, problem = _imported(module, package)
    fix = f'pip install -U "{package} >= {oldest}"'
    if problem:
        return Finding(MISSING, f"{package}: {problem}", fix)
    if _numbers(version) < _numbers(oldest):
        return Finding(MISSING, f"{package} {version}; >= {oldest} is required", fix)
    return Finding(OK, f"{package} {version}")


def check_extra(extra: str, modules: tuple[str, ...]) -> Finding:
    """Check the optional dependencies of one extra."""
    found = {module: _imported(module, module)[1] for module in modules}
    broken = {module: problem for module, problem in found.items() if problem}
    if not broken:
        return Finding(OK, f"extra {extra}: {', '.join(modules)}")
    fix = f'pip install "gesture-pretrain[{extra}]"'
    if re.search(r"lib\w+\.so", broken.get("cv2", "")):  # no OpenGL library on this machine
        fix = "pip install --force-reinstall --no-deps opencv-python-headless"
    told = "; ".join(f"{module} {problem}" for module, problem in broken.items())
    return Finding(OPTIONAL, f"extra {extra}: {told}", fix)


def check_name(package: str) -> Finding:
    """Check that a top-level package of ours is not another project's of the same name."""
    spec = importlib.util.find_spec(package)
    place = Path(spec.origin).parent if spec and spec.origin else None
    ours = "targets.py" if package == "adapters" else "rotation_net.py"
    if place is None or not (place / ours).is_file():
        what = "not found" if place is None else f"{place} belongs to another project"
        fix = f"pip uninstall the other project called {package}, then reinstall gesture-pretrain"
        return Finding(MISSING, f"package {package}: {what}", fix)
    return Finding(OK, f"package {package} in {place}")


def check_device() -> Finding:
    """Report what torch computes on, and a GPU that it does not see."""
    cores = f"{os.cpu_count()} CPU cores"
    torch = sys.modules.get("torch")
    if torch is None:
        return Finding(OPTIONAL, f"device: {cores}; GPUs are unknown without torch")
    if torch.cuda.is_available():
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Finding(OK, f"device: CUDA {torch.version.cuda}, {names} ({bf16}); {cores}")
    if shutil.which("nvidia-smi"):
        return Finding(
            OPTIONAL,
            f"device: {cores}; torch {torch.__version__} sees no GPU, but nvidia-smi exists",
            "install a CUDA build of torch that fits the driver, pytorch.org/get-started/locally",
        )
    return Finding(OK, f"device: {cores}, no CUDA")


def check_shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Check shared memory, which loading processes need; containers often have only 64 MB."""
    if not folder.is_dir():
        return Finding(OK, "shared memory: managed by the system")
    size_gb = shutil.disk_usage(folder).total / 1e9
    if size_gb < 1:
        fix = "docker run --shm-size=8g ... (or data.workers=0)"
        return Finding(OPTIONAL, f"shared memory: {size_gb:.2g} GB, little for many loaders", fix)
    return Finding(OK, f"shared memory: {size_gb:.2g} GB")


def check_mmpose() -> Finding:
    """Check mmpose and its three companions, whose versions must match."""
    for module in (COCO_TOOLS, "mmcv", "mmdet", "mmpose"):
        version, problem = _imported(module, module)
        if problem:
            return Finding(OPTIONAL, f"mmpose route: {module} {problem}", MMPOSE_FIX)
    return Finding(OK, f"mmpose route: mmpose {version}")


def check_mano() -> Finding:
    """Check for the licensed hand model; the bundled hand model replaces it."""
    try:
        from gesture_pretrain.hand.mano_file import find_mano_file

        found = [find_mano_file(hand) for hand in ("right", "left")]
    except (ImportError, FileNotFoundError):
        place = os.environ.get("MANO_DIR")
        state = f"not in MANO_DIR={place}" if place else "MANO_DIR is not set"
        fix = "export MANO_DIR=<folder with MANO_RIGHT.pkl and MANO_LEFT.pkl, mano.is.tue.mpg.de>"
        return Finding(OPTIONAL, f"MANO files: {state}; the bundled hand model is used", fix)
    return Finding(OK, f"MANO files: {', '.join(map(str, found))}")


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
    return Finding(
        OK, f"registry: {home}, {len(list_backbones())} backbones, {free_gb:.1f} GB free"
    )


def _imported(module: str, package: str) -> tuple[str, str]:
    """Return the version and "", or "" and why it cannot be imported."""
    try:
        loaded = importlib.import_module(module)
    except Exception as error:  # a foreign binary may raise anything, and that is the finding
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            return "", "not installed"
        text = str(error).strip().splitlines()
        return "", f"cannot be imported: {type(error).__name__}: {text[0] if text else ''}"
    version = getattr(loaded, "__version__", None)
    try:
        return str(version or metadata.version(package)), ""
    except metadata.PackageNotFoundError:
        return "0", ""


def _numbers(version: str) -> tuple[int, ...]:
    """Parse the leading numbers of a version: "2.9.0+cpu" to (2, 9, 0)."""
    return tuple(int(part) for part in re.match(r"[\d.]*", version)[0].split(".") if part)
