"""Who may import whom, and that importing does nothing else.

tools -> adapters -> gesture_pretrain, and third_party imports nothing of ours. A module that sets
threads, seeds, paths or the environment while it is imported changes the program of whoever uses
one function of it; one that imports an optional package cannot be used without.
"""

import ast
import json
import subprocess
import sys

import pytest

OURS = {"gesture_pretrain", "adapters", "eanet", "tools", "configs", "tests"}
FOLDERS = {
    "third_party": {"eanet"},
    "gesture_pretrain": {"gesture_pretrain"},
    "adapters": {"adapters", "gesture_pretrain", "eanet"},
}
# of the extras of setup.cfg and of tools/install.sh; each is imported where it is needed
OPTIONAL = {"onnx", "onnxruntime", "onnxscript", "submitit", "mmpose", "mmcv", "mmdet", "pytest"}


def imported_names(path) -> set[str]:
    """First names of everything imported anywhere in a file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"{path}:{node.lineno} reaches out of its package"
            names |= (
                {node.module} if node.level == 0 else set()
            )  # a package's own are not asked for
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_point_one_way(folder, repo_root):
    files = sorted((repo_root / folder).rglob("*.py"))
    assert len(files) > 15
    wrong = {
        str(path.relative_to(repo_root)): sorted(names)
        for path in files
        if (names := (imported_names(path) & OURS) - FOLDERS[folder])
    }
    assert not wrong


def test_eanet_is_met_in_its_adapter_only(repo_root):
    users = {
        path.relative_to(repo_root / "adapters").parts[0]
        for path in (repo_root / "adapters").rglob("*.py")
        if "eanet" in imported_names(path)
    }
    assert users == {"eanet"}


IMPORT_ALL = """
import importlib, importlib.util, json, os, random, sys, warnings
from pathlib import Path

import cv2, numpy, torch, torchvision, timm, mmengine, matplotlib  # what these do is theirs
import embreex, matplotlib.figure, mmengine.runner, safetensors.torch, scipy, sklearn, smplx

def state():
    return {
        "threads": (torch.get_num_threads(), cv2.getNumThreads()),
        "dtype": str(torch.get_default_dtype()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "random": hash(random.getstate()),
        "numpy": hash(numpy.random.get_state()[1].tobytes()),
        "torch": hash(torch.get_rng_state().numpy().tobytes()),
        "environment": dict(os.environ),
        "path": list(sys.path),
        "folder": (os.getcwd(), sorted(map(str, Path.home().rglob("*")))),
        "backend": matplotlib.rcParams["backend"] if "matplotlib.pyplot" in sys.modules else "",
        "warnings": len(warnings.filters),
    }

root = Path(sys.argv[1])
packages = {"gesture_pretrain": "gesture_pretrain", "adapters": "adapters"}
packages["third_party/eanet"] = "eanet"
sys.path[:0] = [str(root), str(root / "tools")]
before, count = state(), 0
for folder, package in packages.items():
    for file in sorted((root / folder).rglob("*.py")):
        parts = file.relative_to(root / folder).with_suffix("").parts
        importlib.import_module(".".join((package, *(p for p in parts if p != "__init__"))))
        count += 1
for file in sorted((root / "tools").rglob("*.py")):
    name = ".".join(file.relative_to(root / "tools").with_suffix("").parts)
    importlib.import_module(name.removesuffix(".__init__"))
    count += 1
after = state()
changed = sorted(key for key in before if before[key] != after[key])
print(json.dumps({
    "count": count,
    "changed": {key: [str(before[key])[:300], str(after[key])[:300]] for key in changed},
    "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""


@pytest.fixture(scope="module")
def imported(repo_root, tmp_path_factory) -> dict:
    """What importing every module did, in a process and a home of its own."""
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(repo_root)],
        cwd=home,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "MPLCONFIGDIR": str(home / "matplotlib")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return {**json.loads(lines[-1]), "printed": lines[:-1] + done.stderr.splitlines()}


def test_every_module_was_imported(imported):
    assert imported["count"] > 250


def test_importing_changes_nothing_and_writes_no_file(imported):
    assert imported["changed"] == {}


def test_importing_prints_nothing(imported):
    assert imported["printed"] == []


def test_importing_needs_no_optional_package(imported):
    assert not OPTIONAL & set(imported["loaded"])


def test_the_training_engine_knows_no_stage_and_no_data(repo_root):
    wrong = [
        f"{path.name}: {module}"
        for path in sorted((repo_root / "gesture_pretrain" / "training").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for module in [node.module or ""]
        if module.startswith(
            tuple(f"gesture_pretrain.{name}" for name in ("pretraining", "config", "data"))
        )
    ]
    assert not wrong
