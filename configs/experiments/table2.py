r"""Reproduces the rows of the paper's Table 2 on InterHand2.6M, with controls, seeds and intervals.

Paper (arXiv 2603.17396), single-hand subset, MPJPE / MPVPE in mm, one run per row: EANet 4.94 /
5.26, with gesture pretraining 4.86 / 5.17; token fusion without pretraining 5.00 / 5.35, full 4.84
/ 5.19. There "without" also lacks the gesture guidance; here initial weights and guidance are two
factors.

Command:
    python tools/prepare_data.py interhand --root data/interhand26m
    python tools/transfer_experiment.py configs/experiments/table2.py run --dry-run
    python tools/transfer_experiment.py configs/experiments/table2.py run

Needs MANO (right and left) in $MANO_DIR.

Expected: the paper's numbers above, if its protocol is EANet's. Not run by us: it needs the data
set and a GPU.
"""

name = "table2"
question = "Does gesture pretraining lower the error on InterHand2.6M?"

data = dict(index="data/interhand26m/index", taxonomy="interhand26m", workers=8)
backbones = dict(
    hrnet=dict(arch="hrnet_w32", size_px=256),
    resnet50=dict(arch="resnet50", size_px=256),
)
seeds = [0, 1, 2]
fractions = [1.0]
test = dict(split="test", box_source="rootnet")  # RootNet's boxes, as in the paper's protocol

arms = dict(
    random=dict(init="random", text="no pretraining"),
    imagenet=dict(init="timm", optional=True, text="timm's ImageNet weights"),
    gesture=dict(pretrain=dict(), text="pretrained on coarse and fine gestures, from random"),
    shuffled=dict(
        pretrain=dict(data=dict(label_variant="shuffled")),
        text="the same pretraining, gestures exchanged among the images",
    ),
)
targets = {
    "token fusion": dict(
        target="token_fusion",
        backbone="hrnet",
        model=dict(guidance="none"),
        arms=["random", "imagenet", "gesture", "shuffled"],
        text="token fusion on HRNet-W32, without guidance",
    ),
    "token fusion, guided": dict(
        target="token_fusion",
        backbone="hrnet",
        model=dict(guidance="both"),
        arms=["random", "gesture", "shuffled"],
        text="token fusion on HRNet-W32, gesture guidance (random heads in the random arm)",
    ),
    "EANet": dict(
        target="eanet",
        backbone="resnet50",
        model=dict(gesture_logits="none"),
        arms=["random", "imagenet", "gesture", "shuffled"],
        text="EANet on ResNet-50, initial weights only",
    ),
    "EANet, logits": dict(
        target="eanet",
        backbone="resnet50",
        model=dict(gesture_logits="logits"),
        arms=["random", "gesture", "shuffled"],
        text="EANet on ResNet-50, gesture logits fused as in the author's fork",
    ),
    "EANet, HRNet": dict(
        target="eanet",
        backbone="hrnet",
        model=dict(gesture_logits="none"),
        arms=["random", "imagenet", "gesture", "shuffled"],
        text="EANet on HRNet-W32, initial weights only",
    ),
}

pretraining = dict(
    data=dict(
        single_hand_only=True,
        batch_size=256,
        augmentation=dict(scale=0.25, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.5),
    ),
    heads=dict(hidden=1024, dropout=0.5),
    objective=dict(ramp=dict(start=0.1, step=0.1, every_epochs=10, maximum=1.0)),
    optimizer=dict(lr=1e-3, weight_decay=0.05),
    schedule=dict(epochs=30, warmup_iterations=1000, final_lr_ratio=0.01),
    training=dict(clip_norm=1.0, ema_decay=0.9998, channels_last=True, checkpoint_every=1000),
)
finetuning = dict(
    data=dict(
        batch_size=64,
        val_images=20000,
        augmentation=dict(scale=0.25, rotation_deg=45.0, translation=0.15, colour=0.2, flip=0.0),
    ),
    hand_model=dict(path=None, tip_convention="interhand"),
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    schedule=dict(epochs=30, warmup_iterations=1000, final_lr_ratio=0.01),
    training=dict(clip_norm=1.0, channels_last=True, checkpoint_every=1000, log_every=50),
)

protocols = ["eanet_corrected", "eanet_upstream", "interhand_wrist", "pa_mpjpe"]
comparisons = [
    dict(arm="gesture", reference="random", text="Pretraining as a whole."),
    dict(arm="gesture", reference="shuffled", text="What the gestures add to the images."),
    dict(arm="gesture", reference="imagenet", text="Against the usual start."),
    dict(
        arm="gesture",
        reference="gesture",
        target="token fusion, guided",
        reference_target="token fusion",
        text="What guidance adds to pretrained weights.",
    ),
    dict(
        arm="gesture",
        reference="gesture",
        target="EANet, logits",
        reference_target="EANet",
        text="What the fused logits add to pretrained weights.",
    ),
]
diagnostics = dict(train_images=20000, test_images=4000)
