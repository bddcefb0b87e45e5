"""What documents, docstrings, comments and messages name is there, also after a module has moved.

Looked for are relative links, paths from the repository's root, and dotted names of our packages
down to a class or function.
"""

import ast
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("gesture_pretrain", "adapters", "third_party", "tools", "configs", "docs", "tests")
PACKAGES = {"gesture_pretrain": "gesture_pretrain", "adapters": "adapters"}
PACKAGES["eanet"] = "third_party/eanet"
NOT_MODULES = {"gesture_pretrain.targets", "gesture_pretrain.backbones"}  # entry-point groups

LINK = re.compile(r"\]\(([^)#\s]+)")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})(?:/[\w.-]*\w)+/?(?![\w*<{{/])")
DOTTED = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+(?![\w(*/]*\*)")
FILE_ENDING = re.compile(r"\.(py|md|csv|json|npz|npy|toml|pth|egg)$")


def files(*patterns: str) -> list[str]:
    """Paths from the root of what we wrote ourselves."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(str(path.relative_to(ROOT)) for path in found)


DOCUMENTS = files("*.md", "docs/**/*.md", "third_party/**/*.md", "gesture_pretrain/**/*.md")
SOURCES = files(*(f"{folder}/**/*.py" for folder in FOLDERS if folder != "tests"))


@cache
def names_in(module: Path) -> set[str]:
    """Every name that a module binds, anywhere in it, or offers by its `__all__`."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Dict):  # names that are imported on first use
            names |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
    return names


def resolves(dotted: str) -> bool:
    package, *rest = dotted.split(".")
    place = ROOT / PACKAGES[package]
    while rest and (place / rest[0]).is_dir():
        place /= rest.pop(0)
    if rest and (place / f"{rest[0]}.py").is_file():
        place = place / f"{rest.pop(0)}.py"
    elif place.is_dir():
        place /= "__init__.py"
    return not rest or (place.is_file() and rest[0] in names_in(place))


def prose(name: str) -> Iterator[tuple[int, str]]:
    """Line number and text of what is meant for readers: of code its comments and strings."""
    if not name.endswith(".py"):
        yield from enumerate((ROOT / name).read_text().splitlines(), 1)
        return
    with tokenize.open(ROOT / name) as file:
        for token in tokenize.generate_tokens(file.readline):
            if tokenize.tok_name[token.type] in ("COMMENT", "STRING", "FSTRING_MIDDLE"):
                yield from enumerate(token.string.splitlines(), token.start[0])


def test_there_is_something_to_check():
    assert len(DOCUMENTS) > 6 and len(SOURCES) > 250
    assert resolves("gesture_pretrain.geometry.crop.crop_affine")
    assert resolves("gesture_pretrain.load_backbone")
    assert not resolves("gesture_pretrain.geometry.crop.gone")
    assert not resolves("gesture_pretrain.gone")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text, folder = (ROOT / document).read_text(), (ROOT / document).parent
    links = [link for link in LINK.findall(text) if "://" not in link]
    assert not [link for link in links if not (folder / link).exists()]


def test_paths_and_dotted_names_are_there():
    wrong = []
    for name in (*DOCUMENTS, *SOURCES):
        for number, line in prose(name):
            paths = [path for path in PATH.findall(line) if not (ROOT / path).exists()]
            dotted = {word for word in DOTTED.findall(line) if not FILE_ENDING.search(word)}
            lost = [word for word in dotted - NOT_MODULES if not resolves(word)]
            wrong += [f"{name}:{number}: {word}" for word in (*paths, *lost)]
    assert not wrong
