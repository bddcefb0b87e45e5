"""Sizes at which every InterHand2.6M config, plan and command runs on the miniature in seconds."""

from pathlib import Path

from gesture_pretrain.data.interhand import build_interhand_index
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.synthetic.miniature import write_miniature
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.export import export_backbone

ARCH, SIZE_PX = "test_resnet", 64

DOWNLOADED = ("imagenet", "timm")

SMALL_DATA = ["data.batch_size=4", "data.workers=0", "data.val_images=6"]
SMALL_RUN = [
    "schedule.epochs=1",
    "schedule.iterations=2",
    "schedule.warmup_iterations=1",
    "training.threads=1",
    "training.log_every=1",
]
SMALL_PRETRAINING = [
    f"backbone.arch={ARCH}",
    "backbone.init=random",
    f"backbone.size_px={SIZE_PX}",
    "heads.hidden=8",
    *SMALL_DATA,
    *SMALL_RUN,
]
SMALL_POSE = [
    "model.size=tiny",
    "hand_model.path=open",
    f"backbone.size_px={SIZE_PX}",
    *SMALL_DATA,
    *SMALL_RUN,
]


def write_small_miniature(root: Path) -> Path:
    """An indexed miniature of a few hundred images."""
    write_miniature(root, gestures=2, frames=4, long_side_px=64)
    build_interhand_index(root, progress=False)
    return root


def register_gesture_backbone(tag: str) -> str:
    """Export an untrained stand-in for a pretrained gesture backbone; returns its name."""
    taxonomy = Taxonomy.load("interhand26m")
    backbone = build_backbone(ARCH, size_px=SIZE_PX)
    heads = build_gesture_heads(
        backbone.pooled_channels,
        num_coarse=taxonomy.num_coarse,
        num_fine=taxonomy.num_fine,
        hidden=8,
    )
    return export_backbone(GestureNetwork(backbone, heads), tag=tag, taxonomy=taxonomy).name


def small_plan(plan: dict) -> list[str]:
    """Overrides that make a plan small, from its sections as they stand."""
    overrides = [
        f"backbones={ {name: {'arch': ARCH, 'size_px': SIZE_PX} for name in plan['backbones']}!r}",
        "data.workers=0",
        "finetuning.hand_model.path=open",
        "seeds=[0, 1]",
    ]
    for stage in ("pretraining", "finetuning"):
        if stage in plan:
            overrides += [
                f"{stage}.data.batch_size=4",
                f"{stage}.schedule={ {'iterations': 2}!r}",
                f"{stage}.training.threads=1",
            ]
    # ImageNet weights of the small architecture do not exist
    downloads = [name for name, arm in plan["arms"].items() if arm.get("init") in DOWNLOADED]
    overrides += [f"arms.{name}.init=random" for name in downloads]
    for name, target in plan["targets"].items():
        overrides.append(f"targets.{name}.model.size=tiny")
        if target["target"] == "eanet":
            overrides.append(f"targets.{name}.model.allow_projection=true")
    return overrides
