"""load_backbone works with the core dependencies of setup.cfg alone."""

import configparser
import subprocess
import sys

import torch

from gesture_pretrain import export_backbone
from gesture_pretrain.extras import EXTRA_OF
from gesture_pretrain.models.backbone import build_backbone

LOAD = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in {absent} else find(name, path, target)

PathFinder.find_spec = staticmethod(find_spec)
import torch
from gesture_pretrain import load_backbone
backbone = load_backbone({folder!r}).eval()
with torch.no_grad():
    torch.save(backbone(torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)).pooled, {out!r})
try:
    from gesture_pretrain import pretrain
except ModuleNotFoundError as error:
    assert "gesture-pretrain[train]" in str(error), error
else:
    raise SystemExit("pretrain was imported without its dependencies")
"""
# timm and torchvision bring these along
ALWAYS = {"PIL", "tqdm", "huggingface_hub"}


def test_a_backbone_gives_the_exporters_bits_without_any_extra(tmp_path):
    backbone = build_backbone("hrnet_w16_tiny", size_px=64, seed=1)
    stored = export_backbone(backbone, tag="core", out=tmp_path)
    out = tmp_path / "pooled.pt"
    absent = set(EXTRA_OF) - ALWAYS
    code = LOAD.format(absent=absent, folder=str(stored.path), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        image = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
        ours = backbone.eval()(image).pooled
    assert torch.equal(torch.load(out), ours)


def test_every_extra_that_a_message_names_is_one_of_the_package(repo_root):
    config = configparser.ConfigParser()
    config.read(repo_root / "setup.cfg", encoding="utf-8")
    assert set(EXTRA_OF.values()) <= set(config["options.extras_require"])
