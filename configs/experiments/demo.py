r"""Does gesture pretraining help? Small networks, embedded dataset, a CPU, minutes.

Reproduces nothing of the paper; it shows the experiment on data that anyone can render.

Command: `make demo`, which takes these steps:
    python tools/prepare_data.py synthetic --root data/synthetic_demo --train 12000 --val 600 \
        --test 384 --test-subjects 24 --size 112 --view-limit 50 --roll-limit 45 --view-side palm
    python tools/pretrain_backbone.py configs/pretrain/hrnet_tiny_synthetic_demo.py \
        --data data/synthetic_demo
    python tools/pretrain_backbone.py configs/pretrain/hrnet_tiny_synthetic_demo.py \
        --data data/synthetic_demo --name shuffled_synthetic_demo \
        data.label_variant=cluster_shuffled
    python tools/transfer_experiment.py configs/experiments/demo.py run \
        --data data/synthetic_demo --workers 2
    python tools/transfer_experiment.py configs/experiments/demo.py report \
        --data data/synthetic_demo

Expected: token fusion 41.7 mm with gestures, 48.8 random, 49.7 shuffled; EANet 44.3, 54.8 and 58.4;
all four differences are significant (once, torch 2.14.1, 2 idle cores; docs/lab/experiments.md).
"""

from mmengine.config import read_base

with read_base():
    from .._base_.tiny_targets import *

name = "demo"
question = "Does gesture pretraining lower the error of hand poses?"

data = dict(index="data/synthetic_demo/index", taxonomy="interhand26m", workers=0, val_split=None)
backbones = dict(hrnet_tiny=dict(arch="hrnet_w16_tiny", size_px=64))
seeds = [0, 1, 2]
fractions = [0.03]  # 360 of 12,000 images

arms = dict(
    random=dict(init="random", text="no pretraining"),
    gesture=dict(
        weights="hrnet_w16_tiny.gesture_synthetic_demo",
        text="pretrained on coarse and fine gestures",
    ),
    shuffled=dict(
        weights="hrnet_w16_tiny.shuffled_synthetic_demo",
        text="the same pretraining, gestures exchanged among the sequences of all subjects",
    ),
)

finetuning = dict(
    data=dict(
        batch_size=16,
        # one part of the pose labels for all seeds
        fraction_seed=0,
        augmentation=dict(scale=0.15, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.0),
    ),
    hand_model=dict(path="open", tip_convention="smplx"),
    optimizer=dict(lr=2e-3, weight_decay=0.05),
    schedule=dict(iterations=200, warmup_iterations=20, final_lr_ratio=0.01),
    training=dict(clip_norm=1.0, channels_last=True, checkpoint_every=100, log_every=20, threads=1),
)

protocols = ["interhand_wrist", "pa_mpjpe"]
cluster_by = "subject"  # 24 people
comparisons = [
    dict(arm="gesture", reference="random", text="Pretraining as a whole."),
    dict(
        arm="gesture",
        reference="shuffled",
        text="What the gestures add to labels that mean nothing across subjects.",
    ),
]
planning = dict(
    cluster_sd_mm=10.0,
    seed_sd_mm=2.0,
    images_per_s=140.0,
    source="an earlier run of this plan with two processes on two cores",
)
