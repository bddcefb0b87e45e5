"""A pose network of one linear layer, data for it, and a plan that takes seconds."""

from functools import cache
from pathlib import Path

import torch
from mmengine.model import BaseModel
from torch import nn

from adapters.pose.model import HandPrediction
from adapters.targets import PoseTarget, backbone_of, register_target
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.pose_dataset import PoseDataset
from gesture_pretrain.models.image_normaliser import ImageNormaliser
from gesture_pretrain.pretraining.model import BatchToDevice
from gesture_pretrain.synthetic.build import write_synthetic

SIZE_PX = 32


class ToyPose(BaseModel):
    """Pooled features to joints by one linear layer; meshes are all at the wrist."""

    def __init__(self, network, *, broken_from):
        super().__init__(data_preprocessor=BatchToDevice())
        self.backbone = backbone_of(network)
        self.normalise = ImageNormaliser(self.backbone.input_spec)
        self.head = nn.Linear(self.backbone.pooled_channels, 63)
        self.broken_from = broken_from
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def forward(self, batch, mode="loss"):
        if self.broken_from is not None and self.epoch >= self.broken_from:
            raise RuntimeError("this toy is broken")
        pooled = self.backbone(self.normalise(batch.image)).pooled
        joints = 100 * self.head(pooled).view(-1, 21, 3)
        if mode == "loss":
            valid = batch.joint_valid[..., None]
            error = (joints - batch.joints_rel_mm).abs() * valid / 100
            return {"joint_loss": error.sum() / valid.sum().clamp(min=1)}
        joints = joints - joints[:, :1]
        count = len(joints)
        return HandPrediction(
            joints_rel_mm=joints,
            vertices_rel_mm=joints.new_zeros(count, 778, 3),
            keypoints_px=joints[..., :2],
            joint_depth_rel_mm=joints[..., 2],
            mano_pose=joints.new_zeros(count, 48),
            mano_shape=joints.new_zeros(count, 10),
            hand=batch.hand,
        )


def build_toy(network, *, seed, hand_models, allow_projection=False, broken_from=None):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ToyPose(network, broken_from=broken_from)


class Toy(PoseTarget):
    name, summary = "toy_pose", "for the tests"
    build_model = staticmethod(build_toy)
    build_dataset = PoseDataset


TOY = Toy()


@cache
def register_toy() -> None:
    """Register the target, once in a process."""
    register_target(TOY)


def write_toy_index(root: Path) -> Path:
    """60 training and 40 test images of 32 px, of four gestures."""
    write_synthetic(
        root,
        images_per_split={"train": 60, "test": 40},
        size_px=SIZE_PX,
        cameras_per_frame=2,
        subjects={"train": 3, "test": 3},
        gestures=["thumbup_normal", "fist", "aokay", "three_count"],
        workers=0,
        progress=False,
    )
    return build_interhand_index(root, progress=False)


def toy_plan(index: Path, **changes) -> dict:
    """Values of a plan: (random, gesture, shuffled) x 2 seeds."""
    quick = {"log_every": 2, "threads": 1, "checkpoint_every": 2}
    data = {"index": str(index), "batch_size": 8, "workers": 0, "val_split": None}
    return {
        "name": "toy",
        "data": data,
        "backbones": {"tiny": {"arch": "test_resnet", "size_px": SIZE_PX}},
        "arms": {
            "random": {"init": "random"},
            "gesture": {"pretrain": {}},
            "shuffled": {"pretrain": {"data": {"label_variant": "shuffled"}}},
        },
        "targets": {"toy": {"target": "toy_pose"}},
        "pretraining": {
            "heads": {"hidden": 8},
            "optimizer": {"lr": 1e-3},
            "schedule": {"iterations": 4, "warmup_iterations": 1},
            "training": quick,
        },
        "finetuning": {
            "hand_model": {"path": "open", "tip_convention": "smplx"},
            "optimizer": {"lr": 1e-3},
            "schedule": {"iterations": 4, "warmup_iterations": 1},
            "training": quick,
        },
        "fractions": [0.5],
        "seeds": [0, 1],
        "comparisons": [
            {"arm": "gesture", "reference": "random"},
            {"arm": "gesture", "reference": "shuffled"},
        ],
        **changes,
    }
