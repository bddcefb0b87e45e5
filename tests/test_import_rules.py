"""Who may import whom, that importing does nothing else, and sizes of folders and functions.

tools -> adapters -> gesture_pretrain, and third_party imports nothing of ours. A module that sets
threads, seeds, paths or the environment while it is imported changes the program of whoever uses
one function of it; one that imports an optional package cannot be used without.
"""

import ast
import graphlib
import importlib
import json
import statistics
import subprocess
import sys

import pytest

FOLDERS = {
    "third_party/eanet": {"eanet"},
    "gesture_pretrain": {"gesture_pretrain"},
    "gesture_pretrain/commands": {"gesture_pretrain", "adapters", "eanet"},
    "adapters": {"adapters", "gesture_pretrain", "eanet"},
    "tools": {"gesture_pretrain", "adapters", "eanet"},
}
OURS = {"gesture_pretrain", "adapters", "eanet", "tools", "configs", "tests"}
_STAGES = ("training", "pretraining", "evaluation", "report")
_NETWORKS = ("eanet", "token_fusion", "prediction", "transfer")
# folder -> folders of the same package that nothing in it may import
FORBIDDEN = {
    "gesture_pretrain.geometry": ("hand", "data", "models", "weights", "config", *_STAGES),
    "gesture_pretrain.taxonomy": ("hand", "data", "models", "weights", "config", *_STAGES),
    "gesture_pretrain.hand": ("data", "models", "weights", "config", *_STAGES),
    "gesture_pretrain.data": ("models", "weights", "config", "synthetic", *_STAGES),
    "gesture_pretrain.synthetic": ("models", "weights", "config", *_STAGES),
    "gesture_pretrain.models": ("data", "weights", "config", "synthetic", *_STAGES),
    "gesture_pretrain.weights": ("data", "config", "synthetic", *_STAGES),
    "gesture_pretrain.training": ("data", "config", "synthetic", *_STAGES[1:]),
    "gesture_pretrain.evaluation": ("config", "training", "pretraining", "report"),
    "gesture_pretrain.config": ("data", "models", "weights", *_STAGES),
    "gesture_pretrain.pretraining": ("report", "synthetic"),
    "gesture_pretrain.report": ("models", "weights", "config", "training", "pretraining"),
    "adapters.export": ("swap", "pose", "detection", *_NETWORKS),
    "adapters.swap": ("pose", "detection", *_NETWORKS),
    "adapters.pose": ("detection", *_NETWORKS),
    "adapters.detection": ("export", "swap", "pose", *_NETWORKS),
    "adapters.eanet": ("detection", *_NETWORKS[1:]),
    "adapters.token_fusion": ("detection", "eanet", *_NETWORKS[2:]),
    "adapters.prediction": ("eanet", "token_fusion", "transfer"),
    "adapters.transfer": ("eanet", "token_fusion", "prediction", "detection"),
}
PACKAGES = {
    "gesture_pretrain": "gesture_pretrain",
    "adapters": "adapters",
    "third_party/eanet": "eanet",
}
MOST_FILES = 15
LONGEST_FUNCTION, MEDIAN_FUNCTION = 80, 9  # lines, with the docstring
# folders whose subfolders offer the public names
WITHOUT_NAMES = ("gesture_pretrain.data", "gesture_pretrain.evaluation")
# of the extras of setup.cfg and of tools/install.sh; each is imported where it is needed
OPTIONAL = {"onnx", "onnxruntime", "onnxscript", "submitit", "mmpose", "mmcv", "mmdet", "pytest"}
OPTIONAL |= {"ai_edge_litert"}


def imported_modules(path) -> set[str]:
    """Names of everything imported anywhere in a file, `from a import b` as a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"{path}:{node.lineno} reaches out of its package"
            if node.level == 0:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imported_names(path) -> set[str]:
    """First names of everything imported anywhere in a file."""
    return {name.partition(".")[0] for name in imported_modules(path)}


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_point_one_way(folder, repo_root):
    nested = [repo_root / other for other in FOLDERS if other.startswith(f"{folder}/")]
    wrong = {}
    for path in sorted((repo_root / folder).rglob("*.py")):
        if path.name == "__main__.py" or any(other in path.parents for other in nested):
            continue
        if names := (imported_names(path) & OURS) - FOLDERS[folder]:
            wrong[str(path.relative_to(repo_root))] = sorted(names)
    assert not wrong


@pytest.fixture(scope="module")
def modules(repo_root) -> dict[str, set[str]]:
    """Module -> modules of ours that it imports anywhere."""
    paths = {}
    for folder, package in PACKAGES.items():
        for path in (repo_root / folder).rglob("*.py"):
            parts = (package, *path.relative_to(repo_root / folder).with_suffix("").parts)
            paths[".".join(parts).removesuffix(".__init__")] = path
    return {name: imported_modules(path) & paths.keys() for name, path in paths.items()}


def unit(module: str, modules) -> str:
    """The folder of a module; a file at the root of a package stands for itself."""
    is_folder = any(other.startswith(f"{module}.") for other in modules)
    return module if is_folder or module.count(".") < 2 else module.rpartition(".")[0]


def test_folders_do_not_import_in_a_circle(modules, repo_root):
    graph: dict[str, set[str]] = {}
    for name, others in modules.items():
        if name.endswith("__main__"):
            continue
        graph.setdefault(unit(name, modules), set()).update(unit(o, modules) for o in others)
    for name, others in graph.items():
        others -= {name}
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_lower_folders_do_not_know_higher_ones(folder, modules):
    package = folder.partition(".")[0]
    above = ("gesture_pretrain.commands", *(f"{package}.{name}" for name in FORBIDDEN[folder]))
    wrong = {
        name: sorted(found)
        for name, others in modules.items()
        if f"{name}.".startswith(f"{folder}.")
        and (found := {o for o in others if f"{o}.".startswith(tuple(f"{a}." for a in above))})
    }
    assert not wrong


def test_no_folder_has_more_files_than_a_reader_can_survey(repo_root):
    roots = [repo_root / package for package in PACKAGES]
    folders = roots + [f for root in roots for f in root.rglob("*") if f.is_dir()]
    counts = {
        str(f.relative_to(repo_root)): len([p for p in f.glob("*.py") if p.stem != "__init__"])
        for f in folders
    }
    assert {name: n for name, n in counts.items() if n > MOST_FILES} == {}


def test_functions_are_short(repo_root):
    lengths = {
        f"{path.relative_to(repo_root)}:{node.name}": node.end_lineno - node.lineno + 1
        for folder in (*PACKAGES, "tools")
        for path in (repo_root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION


def test_public_names_can_be_imported_from_their_folder(modules):
    files = {name for name in modules if not any(o.startswith(f"{name}.") for o in modules)}
    folders = {name.rpartition(".")[0] for name in files if name.count(".") > 1}
    offered = {
        name: [getattr(package, public) for public in package.__all__]
        for name in sorted(folders)
        if not name.startswith(("gesture_pretrain.commands", "eanet")) and name not in WITHOUT_NAMES
        for package in [importlib.import_module(name)]
    }
    assert all(offered.values()), offered


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
    importlib.import_module(file.stem)
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
    """Changes made by importing every module, in a new process with an empty home folder."""
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


def test_every_module_was_imported(imported, modules):
    assert imported["count"] >= len(modules)


def test_importing_changes_nothing_and_writes_no_file(imported):
    assert imported["changed"] == {}


def test_importing_prints_nothing(imported):
    assert imported["printed"] == []


def test_importing_needs_no_optional_package(imported):
    assert not OPTIONAL & set(imported["loaded"])
