"""The detector, and rendered hands that it finds."""

import pytest

from gesture_pretrain.data.images import read_image_rgb
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.synthetic.build import write_synthetic


@pytest.fixture(scope="session")
def detector():
    """The detector with its default settings."""
    pytest.importorskip("ai_edge_litert", reason="the extra detect is not installed")
    from adapters.detection import HandDetector

    return HandDetector()


@pytest.fixture(scope="session")
def open_hands(tmp_path_factory) -> HandIndex:
    """Index of two images of 256 px: open right hands, palms towards the camera."""
    root = tmp_path_factory.mktemp("open") / "data"
    write_synthetic(
        root,
        images_per_split={"test": 2},
        subjects={"test": 1},
        cameras_per_frame=2,
        gestures=["0027_five_count"],
        view_limit_deg=25,
        roll_limit_deg=30,
        view_side="palm",
        seed=4,
        workers=0,
        progress=False,
    )
    return HandIndex.open(build_interhand_index(root, progress=False))


@pytest.fixture(scope="session")
def open_hand(open_hands):
    """Image `(256, 256, 3)` of the first open hand."""
    return read_image_rgb(open_hands.record(0).image_path, 0)
