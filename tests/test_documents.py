"""The Python code of README.md, docs/backbones.md and docs/data.md runs as it stands.

The commands of all pages have valid options, and the plan of docs/experiments.md is a plan.
"""

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from adapters.transfer.plan.file import plan_from
from gesture_pretrain import export_backbone
from gesture_pretrain.commands.main import COMMANDS, build_parser
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.pretraining.sections import check_config
from gesture_pretrain.taxonomy import Taxonomy

BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall(document.read_text()) if kind == language]


def run(document: Path) -> dict:
    """Runs all Python blocks of a document, one after the other, in one namespace."""
    namespace: dict = {}
    for code in blocks(document, "python"):
        exec(compile(code, str(document), "exec"), namespace)  # noqa: S102
    return namespace


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A registry that holds what the document names."""
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    backbone = build_backbone("hrnet_w16_tiny", size_px=96)
    taxonomy = Taxonomy.load("interhand26m")
    classes = {"num_coarse": taxonomy.num_coarse, "num_fine": taxonomy.num_fine}
    heads = build_gesture_heads(backbone.pooled_channels, **classes)
    network = GestureNetwork(backbone, heads)
    export_backbone(network, tag="gesture_synthetic_demo", taxonomy=taxonomy)
    export_backbone(build_backbone("resnet18", size_px=224), tag="my_gestures")
    return tmp_path / "home"


def test_code_about_backbones_runs(home, repo_root, monkeypatch, capsys):
    from gesture_pretrain.models import architectures

    monkeypatch.setattr(architectures, "ARCHS", dict(architectures.ARCHS))
    monkeypatch.setattr("gesture_pretrain.models.backbone.ARCHS", architectures.ARCHS)
    names = run(repo_root / "docs/backbones.md")
    assert names["features"].pooled.shape == (2, names["backbone"].pooled_channels)
    assert names["joints"].shape == (2, 21, 3)
    assert names["output"].fine_logits.shape == (2, 70)
    assert names["mine"].arch == "my_resnet"
    assert (home / "resnet18.another" / "card.json").is_file()
    assert "hrnet_w16_tiny.gesture_synthetic_demo" in capsys.readouterr().out


def test_code_of_the_readme_runs(home, repo_root):
    names = run(repo_root / "README.md")
    assert names["features"].pooled.shape == (1, names["backbone"].pooled_channels)


def test_code_about_data_makes_a_data_set(repo_root, tmp_path, monkeypatch, capsys):
    """The first block writes the data set, the tool indexes it, the second block reads it."""
    monkeypatch.chdir(tmp_path)
    document = repo_root / "docs/data.md"
    write, read = blocks(document, "python")
    commands = [
        line for text in blocks(document, "") for line in text.splitlines() if "my_hands" in line
    ]
    exec(compile(write, "write", "exec"), {})  # noqa: S102
    tool = str(repo_root / "tools/prepare_data.py")
    index, show = (re.findall(r'"[^"]+"|\S+', line)[2:] for line in commands)
    for arguments in (index, show):
        plain = [argument.strip('"') for argument in arguments]
        subprocess.run([sys.executable, tool, *plain], check=True, capture_output=True)
    namespace: dict = {}
    exec(compile(read, "read", "exec"), namespace)  # noqa: S102
    record = namespace["record"]
    assert len(namespace["rows"]) == 1  # half of two images
    assert record.image_path.is_file() and record.label in ("fist", "point")
    assert record.joints_world_mm[0, 0].tolist() == [-60, -50, 500]  # the wrist, first in mano21
    assert namespace["index"].meta["licence"] == "CC BY 4.0"
    assert Image.open(tmp_path / "joints.png").size[0] > 100


def test_taxonomy_of_the_document_is_one(repo_root, tmp_path):
    (text,) = [t for t in blocks(repo_root / "docs/data.md", "") if t.startswith("label,")]
    (tmp_path / "mine.csv").write_text(text)
    taxonomy = Taxonomy.load(tmp_path / "mine.csv")
    assert (taxonomy.num_coarse, taxonomy.num_fine, taxonomy.has_flip) == (2, 4, True)
    assert taxonomy.flip(0, 0) == (0, 1)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_valid_options(page):
    text = "\n".join(blocks(page, "")).replace("\\\n", " ")
    for line in re.findall(r"^gesture-pretrain (.*)$", text, re.M):
        words = shlex.split(line, comments=True)
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        module = import_module(f"gesture_pretrain.commands.{COMMANDS[name].module}")
        if hasattr(module, "add_options"):
            arguments = words[len(name.split()) :]
            build_parser(module, name).parse_intermixed_args(arguments)


def test_options_beyond_the_paper_are_sections_of_a_config(repo_root):
    names: dict = {"backbone": {"arch": "hrnet_w32"}}
    for code in blocks(repo_root / "docs/pretraining.md", "python"):
        exec(code, {}, names)  # noqa: S102
    chosen = check_config(names).beyond_paper
    page = (repo_root / "docs/pretraining.md").read_text()
    assert all(f"`beyond_paper.{name}`" in page for name in vars(chosen) if name[0] != "_")
    assert len(chosen.options) == 5


def test_plan_of_the_document_is_one(repo_root):
    names: dict = {}
    exec(blocks(repo_root / "docs/experiments.md", "python")[0], {}, names)  # noqa: S102
    assert [*plan_from(names).arms] == ["imagenet", "gesture", "shuffled"]
