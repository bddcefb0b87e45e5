"""Rendered hands, hand models and a tiny network, shared by the tests of token fusion."""

import pytest
import torch
from torch.utils.data import default_collate

from adapters.token_fusion import TARGET
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.interhand import build_interhand_index
from gesture_pretrain.data.synthetic import write_synthetic
from gesture_pretrain.hand_model import load_hand_model
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.taxonomy import Taxonomy

SIZE_PX = 96


@pytest.fixture(scope="package")
def hand_models():
    return {side: load_hand_model(side, "open") for side in ("right", "left")}


@pytest.fixture(scope="package")
def dataset(tmp_path_factory, hand_models):
    """Eight crops of 96 px: four views of a left hand and four of a right one."""
    root = tmp_path_factory.mktemp("hands") / "set"
    write_synthetic(
        root,
        images_per_split={"train": 8},
        size_px=128,
        subjects={"train": 2},
        workers=0,
        progress=False,
    )
    index = HandIndex.open(build_interhand_index(root, progress=False))
    return TARGET.build_dataset(
        index,
        list(range(8)),
        Taxonomy.load("interhand26m"),
        SIZE_PX,
        hand_models=hand_models,
        augmentation=None,
        seed=0,
        announce=None,
    )


@pytest.fixture(scope="package")
def batch(dataset):
    return default_collate([dataset[i] for i in range(8)])


@pytest.fixture
def build(hand_models):
    """`build(seed=0, dropout=0.5, **options)`: a tiny model on a fresh gesture network."""

    def build_model(seed: int = 0, dropout: float = 0.5, **options):
        backbone = build_backbone("hrnet_w16_tiny", size_px=SIZE_PX, seed=seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            heads = build_gesture_heads(
                backbone.pooled_channels, num_coarse=54, num_fine=70, hidden=32, dropout=dropout
            )
        return TARGET.build_model(
            GestureNetwork(backbone, heads),
            seed=seed,
            hand_models=hand_models,
            **{**TARGET.presets["tiny"], **options},
        )

    return build_model
