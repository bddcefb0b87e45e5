"""What this machine has, what is missing, and the one line that fixes it.

    python tools/doctor.py

Exit status 0 if the core works; what is marked "optional" does not count. Only the standard library
is needed to run it.
"""

import argparse
import configparser
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

REPOSITORY = Path(__file__).resolve().parents[1]
OK, MISSING, OPTIONAL = "ok", "MISSING", "optional"
OLDEST_PYTHON = (3, 10)
ALL_IN_ONE = "make env"
MMPOSE_FIX = (
    "pip install cython munkres json_tricks six && "
    "pip install --no-build-isolation --no-binary xtcocotools xtcocotools && "
    "pip install --no-deps mmpose==1.3.2 mmcv-lite==2.1.0 mmdet==3.2.0"
)
SHARED_MEMORY = Path("/dev/shm")
ENOUGH_SHARED_MEMORY_GB = 1.0
_MODULE_OF = {"opencv-python": "cv2", "scikit-learn": "sklearn", "pillow": "PIL"}
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*(>=\s*(?P<oldest>[\d.]+))?")


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        state: OK, MISSING (the core needs it) or OPTIONAL (missing, and the core works without).
        what: What was looked at and what was found.
        fix: The line that fixes it, empty where nothing is to fix.
    """

    state: str
    what: str
    fix: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Print every finding; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments or [])
    findings = []
    for finding in diagnose():
        findings.append(finding)
        print(f"  {finding.state:9} {finding.what}", flush=True)
        if finding.fix:
            print(f"  {'':9} -> {finding.fix}")
    missing, optional = (sum(f.state == s for f in findings) for s in (MISSING, OPTIONAL))
    if missing:
        print(f"\nThe core does not work: {missing} missing. `{ALL_IN_ONE}` installs everything.")
        return 1
    print(f"\nThe core works.{f' Optional and missing: {optional}.' if optional else ''}")
    return 0


def diagnose() -> Iterator[Finding]:
    """All checks, from the ground up."""
    yield check_python()
    for requirement in core_requirements():
        yield check_requirement(requirement)
    yield check_package()
    yield check_device()
    yield check_shared_memory()
    yield check_mmpose()
    yield check_mano()
    yield check_registry()


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Whether the interpreter is new enough."""
    what = f"Python {'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        return Finding(MISSING, f"{what}; >= {needed} is needed", "make env PYTHON=python3.11")
    return Finding(OK, what)


def core_requirements(setup_cfg: Path = REPOSITORY / "setup.cfg") -> list[str]:
    """What `setup.cfg` says the package needs, such as "timm >= 1.0.19"."""
    parser = configparser.ConfigParser()
    parser.read(setup_cfg, encoding="utf-8")
    lines = parser["options"]["install_requires"].splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def check_requirement(requirement: str) -> Finding:
    """Whether a distribution is there, is new enough, and can be imported."""
    parts = _REQUIREMENT.match(requirement)
    name, oldest = parts["name"], parts["oldest"]
    module = _MODULE_OF.get(name, name.replace("-", "_"))
    version, reason = _imported(module, name)
    if reason is not None:
        return Finding(MISSING, f"{name}: {reason}", _fix_of(name, requirement, reason))
    if oldest and _numbers(version) < _numbers(oldest):
        return Finding(MISSING, f"{name} {version}; >= {oldest} is needed", _install(requirement))
    return Finding(OK, f"{name} {version}")


def _imported(module: str, distribution: str) -> tuple[str, str | None]:
    """(version, None), or ("", why it cannot be imported)."""
    try:
        loaded = importlib.import_module(module)
    except Exception as error:  # a foreign binary may raise anything, and that is the finding
        return "", _reason(module, error)
    version = getattr(loaded, "__version__", None)
    return str(version or _installed_version(distribution)), None


def _reason(module: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == module:
        return "not installed"
    text = str(error).strip().splitlines()
    return f"cannot be imported: {type(error).__name__}: {text[0] if text else ''}"


def _installed_version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "(version unknown)"


def _fix_of(name: str, requirement: str, reason: str) -> str:
    if name == "opencv-python" and re.search(r"lib\w+\.so", reason):
        # The ordinary wheel wants libGL, which a server without a screen does not have
        return "pip install --force-reinstall --no-deps opencv-python-headless"
    return _install(requirement)


def _install(requirement: str) -> str:
    return f'pip install -U "{requirement}"'


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.9.0+cpu" to (2, 9, 0)."""
    return tuple(int(part) for part in re.match(r"[\d.]*", version)[0].split(".") if part)


def check_package() -> Finding:
    """Whether the package itself is installed, and from where."""
    version, reason = _imported("gesture_pretrain", "gesture-pretrain")
    if reason is not None:
        return Finding(MISSING, f"gesture-pretrain: {reason}", f"pip install -e {REPOSITORY}")
    place = Path(sys.modules["gesture_pretrain"].__file__).parent
    return Finding(OK, f"gesture-pretrain {version} in {place}")


def check_device() -> Finding:
    """What torch computes on, and whether a GPU lies idle."""
    cores = f"{os.cpu_count()} CPU cores"
    torch = sys.modules.get("torch")
    if torch is None:
        return Finding(OPTIONAL, f"device: {cores}; without torch nothing more can be said")
    if torch.cuda.is_available():
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Finding(OK, f"device: CUDA {torch.version.cuda}, {names} ({bf16}); {cores}")
    if shutil.which("nvidia-smi"):
        return Finding(
            OPTIONAL,
            f"device: {cores}; torch {torch.__version__} sees no GPU, but nvidia-smi exists",
            "pip install a CUDA build that fits the driver, see pytorch.org/get-started/locally",
        )
    return Finding(OK, f"device: {cores}, no CUDA")


def check_shared_memory(folder: Path = SHARED_MEMORY) -> Finding:
    """Loader processes pass batches through shared memory; containers often have 64 MB."""
    if not folder.is_dir():
        return Finding(OK, "shared memory: managed by the system")
    size_gb = shutil.disk_usage(folder).total / 1e9
    what = f"shared memory: {size_gb:.2g} GB"
    if size_gb < ENOUGH_SHARED_MEMORY_GB:
        return Finding(
            OPTIONAL,
            f"{what}; many loader processes with large batches may need more",
            "docker run --shm-size=8g ... (or data.workers=0)",
        )
    return Finding(OK, what)


def check_mmpose() -> Finding:
    """The mmpose route: four packages of versions that go together."""
    for module in ("xtcocotools", "mmcv", "mmdet", "mmpose"):
        version, reason = _imported(module, module)
        if reason is not None:
            return Finding(OPTIONAL, f"mmpose route: {module} {reason}", MMPOSE_FIX)
    return Finding(OK, f"mmpose route: mmpose {version}")


def check_mano() -> Finding:
    """The user's licensed hand model; the open hand stands in for it."""
    try:
        from gesture_pretrain.hand.mano_file import find_mano_file
    except ImportError as error:
        return Finding(OPTIONAL, f"MANO files: not looked for ({error})", ALL_IN_ONE)
    try:
        found = [find_mano_file(hand) for hand in ("right", "left")]
    except FileNotFoundError:
        place = os.environ.get("MANO_DIR")
        looked = f"not in MANO_DIR={place}" if place else "MANO_DIR is not set"
        return Finding(
            OPTIONAL,
            f"MANO files: {looked}; the open hand is used",
            "export MANO_DIR=<folder with MANO_RIGHT.pkl and MANO_LEFT.pkl, mano.is.tue.mpg.de>",
        )
    return Finding(OK, f"MANO files: {', '.join(map(str, found))}")


def check_registry() -> Finding:
    """Where exported weights go, and whether they can."""
    try:
        from gesture_pretrain.weights.registry import HOME_VARIABLE, list_backbones, registry_home
    except ImportError as error:
        return Finding(MISSING, f"registry: cannot be imported ({error})", ALL_IN_ONE)
    home = registry_home()
    nearest = next(folder for folder in [home, *home.absolute().parents] if folder.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        fix = f"export {HOME_VARIABLE}=<a folder you may write to>"
        return Finding(MISSING, f"registry: {home} cannot be written", fix)
    free_gb = shutil.disk_usage(nearest).free / 1e9
    count = len(list_backbones())
    return Finding(OK, f"registry: {home}, {count} backbones, {free_gb:.1f} GB free")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
