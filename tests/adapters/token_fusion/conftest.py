"""Crops of rendered hands and a tiny network, shared by the tests of token fusion."""

import pytest
import torch
from torch.utils.data import default_collate

from adapters.token_fusion import TARGET
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.taxonomy import Taxonomy

SIZE_PX = 96


@pytest.fixture(scope="package")
def dataset(eight_hands, hand_models):
    """Crops of 96 px of the eight hands."""
    return TARGET.build_dataset(
        eight_hands,
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
