"""Backbones and a target small enough for any test."""

from pathlib import Path

import pytest
from miniature_runs import write_small_miniature
from tiny_run import write_tiny_index

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_index_from_files, build_interhand_index
from gesture_pretrain.data.interhand.files import AnnotationFiles
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.weights.export import export_backbone


@pytest.fixture(scope="session")
def tiny_index(tmp_path_factory) -> Path:
    """Index of the few images that the training tests need."""
    return write_tiny_index(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Path:
    """A miniature of InterHand2.6M with its index: ROM only in val, missing fits, and so on."""
    return write_small_miniature(tmp_path_factory.mktemp("miniature") / "interhand")


@pytest.fixture(scope="session")
def swap_index(tmp_path_factory):
    """Index of 12 training, 4 validation and 16 test images of 64 px of the embedded set."""
    root = tmp_path_factory.mktemp("swap") / "data"
    write_synthetic(
        root,
        images_per_split={"train": 12, "val": 4, "test": 16},
        size_px=64,
        subjects={"train": 2, "val": 1, "test": 2},
        workers=0,
        progress=False,
    )
    return build_interhand_index(root, progress=False)


@pytest.fixture(scope="session")
def hand_models():
    return {side: load_hand_model(side, "open") for side in ("right", "left")}


@pytest.fixture(scope="session")
def eight_hands(tmp_path_factory) -> HandIndex:
    """Eight images of 128 px: four views of a left hand and four of a right one."""
    root = tmp_path_factory.mktemp("hands") / "set"
    write_synthetic(
        root,
        images_per_split={"train": 8},
        size_px=128,
        subjects={"train": 2},
        workers=0,
        progress=False,
    )
    return HandIndex.open(build_interhand_index(root, progress=False))


@pytest.fixture
def backbone():
    """An HRNet of one million numbers for 64 px."""
    return build_backbone("hrnet_w16_tiny", size_px=64)


@pytest.fixture
def gesture_network(backbone):
    """The same with two small heads."""
    heads = build_gesture_heads(512, num_coarse=3, num_fine=4, hidden=8)
    return GestureNetwork(backbone, heads)


@pytest.fixture
def registered(tmp_path, monkeypatch, backbone):
    """A new registry folder with one backbone in it."""
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    return export_backbone(backbone, tag="tiny")


@pytest.fixture(scope="session")
def sample_index(shared_dir, tmp_path_factory) -> HandIndex:
    """Index of the four published images of InterHand2.6M; it must not be changed."""
    folder = shared_dir / "interhand" / "sample"
    kinds = ("data", "camera", "joint_3d")
    files = [folder / f"test_interhand2.6m_{kind}.json" for kind in kinds]
    out = tmp_path_factory.mktemp("sample") / "index"
    files = [AnnotationFiles("test", folder, *files)]
    return HandIndex.open(build_index_from_files(files, folder, out, progress=False), verify=True)
