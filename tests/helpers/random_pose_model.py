"""A stored pose network of random numbers, whose hands differ from image to image."""

from pathlib import Path

import torch

from adapters.pose.checkpoint import save_pose_model
from adapters.pose.hand_models import HandModelSource
from adapters.token_fusion import TARGET
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.record import HeadsRecord, TaxonomyRecord

HEADS = {"num_coarse": 54, "num_fine": 70, "hidden": 8, "dropout": 0.0}
OPEN_HAND = HandModelSource("open", "smplx")
SIZE_PX = 64


def store_random_pose_model(
    folder: Path,
    *,
    taxonomy: Taxonomy | None,
    guidance: str = "both",
    hand_source: HandModelSource = OPEN_HAND,
    frame: str = "camera",
) -> Path:
    """Token fusion on a tiny backbone, in crops of 64 px; returns the folder.

    Args:
        folder: where it is stored.
        taxonomy: whose classes the heads are said to tell; None for heads that do not say it.
        guidance: see `adapters.token_fusion.target`.
        hand_source: the hand it is said to be trained with.
        frame: frame of its poses.
    """
    backbone = build_backbone("test_resnet", size_px=SIZE_PX)
    torch.manual_seed(0)
    heads = build_gesture_heads(backbone.pooled_channels, **HEADS)
    hand_models = hand_source.load()
    options = {**TARGET.options("tiny"), "guidance": guidance, "frame": frame}
    model = TARGET.build_model(GestureNetwork(backbone, heads), hand_models=hand_models, **options)
    torch.nn.init.normal_(model.network.mano_heads.pose[-1].weight, std=0.2)
    return save_pose_model(
        model,
        folder,
        target="token_fusion",
        options=options,
        size_px=SIZE_PX,
        heads=HeadsRecord(in_channels=backbone.pooled_channels, **HEADS),
        backbone_name="test_resnet (random)",
        head_classes=taxonomy and TaxonomyRecord(taxonomy.name, taxonomy.sha256, (), ()),
        hand_source=hand_source,
        hand_models=hand_models,
    )
