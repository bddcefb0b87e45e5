"""A pose network of a few thousand numbers, and the sections of a run that takes a second."""

from pathlib import Path

import torch
from mmengine.model import BaseModel
from torch import nn

from adapters.pose.model import HandPrediction
from adapters.targets import PoseTarget, backbone_of
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.pose_dataset import PoseDataset
from gesture_pretrain.models.image_normaliser import ImageNormaliser
from gesture_pretrain.pretraining.model import BatchToDevice
from gesture_pretrain.synthetic.build import write_synthetic

SIZE_PX = 32
OPEN_HAND = {"path": "open", "tip_convention": "smplx"}


def write_pose_index(root: Path) -> Path:
    """48 training, 16 validation and 8 test images of 48 px, both hands."""
    write_synthetic(
        root,
        images_per_split={"train": 48, "val": 16, "test": 8},
        size_px=48,
        subjects={"train": 2, "val": 1, "test": 1},
        gestures=["fist", "indexpoint"],
        workers=0,
        progress=False,
    )
    return build_interhand_index(root, progress=False)


class ToyPose(BaseModel):
    """The pooled feature through dropout and one layer to MANO parameters and keypoints."""

    def __init__(self, backbone, hand_model, *, dropout):
        super().__init__(data_preprocessor=BatchToDevice())
        self.backbone = backbone
        self.normalise = ImageNormaliser(backbone.input_spec)
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(backbone.pooled_channels, 48 + 10 + 42)
        )
        self.hand_model = hand_model

    def set_epoch(self, epoch):
        self.epoch = epoch

    def forward(self, batch, mode="loss"):
        values = self.head(self.backbone(self.normalise(batch.image)).pooled)
        pose, shape, keypoints = values.split([48, 10, 42], dim=1)
        mesh = self.hand_model(pose, shape, torch.zeros_like(pose[:, :3]))
        joints_mm = 1000 * (mesh.joints_m - mesh.joints_m[:, :1])
        if mode == "predict":
            return HandPrediction(
                joints_rel_mm=joints_mm,
                vertices_rel_mm=1000 * (mesh.vertices_m - mesh.joints_m[:, :1]),
                keypoints_px=keypoints.unflatten(1, (21, 2)) * SIZE_PX,
                joint_depth_rel_mm=joints_mm[..., 2],
                mano_pose=pose,
                mano_shape=shape,
                hand=torch.zeros(len(pose), dtype=torch.int64),
            )
        distance = (joints_mm - batch.mano_joints_rel_mm).norm(dim=-1)
        return {
            "joint_loss": distance.mean() / 100,
            "pose_loss": (pose - batch.mano_pose).abs().mean(),
            "pixel_loss": (keypoints - batch.keypoints_px.flatten(1) / SIZE_PX).abs().mean(),
            "mean_mm": distance.detach().mean(),
        }


def build_toy(network, *, seed, hand_models, allow_projection=False, dropout=0.5):
    torch.manual_seed(seed)
    return ToyPose(backbone_of(network), hand_models["right"], dropout=dropout)


def build_toy_dataset(index, rows, taxonomy, size_px, **options):
    return PoseDataset(index, rows, taxonomy, size_px, mirror_left=True, **options)


class Toy(PoseTarget):
    name, summary = "toy_pose", "for the tests"
    presets = {"full": {}, "plain": {"dropout": 0.0}}
    build_model = staticmethod(build_toy)
    build_dataset = staticmethod(build_toy_dataset)


TOY = Toy()


def pose_sections(index: Path, **changes) -> dict:
    """Arguments of `build_pose_runner`; `changes` are merged into the sections."""
    sections = {
        "target": TOY,
        "data": {"index": str(index), "batch_size": 8, "workers": 0},
        "backbone": {"arch": "test_resnet", "size_px": SIZE_PX},
        "model": {},
        "hand_model": OPEN_HAND,
        "optimizer": {"lr": 2e-3},
        "schedule": {"iterations": 12, "warmup_iterations": 2},
        "training": {"log_every": 1, "threads": 1},
        "device": "cpu",
        "progress": False,
    }
    for name, change in changes.items():
        if isinstance(change, dict):
            change = {**sections.get(name, {}), **change}
        sections[name] = change
    return sections
