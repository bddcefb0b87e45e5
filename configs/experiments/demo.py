r"""Does gesture pretraining help? Small networks, embedded data set, a CPU, minutes.

Reproduces nothing of the paper; it shows the experiment on data that anyone can render.

Command:
    python tools/prepare_data.py synthetic --root data/synthetic_demo --train 16000 --val 2000 \
        --test 400 --size 144 --view-limit 50 --roll-limit 45 --view-side palm
    python tools/transfer_experiment.py configs/experiments/demo.py run \
        --data data/synthetic_demo --workers 2
    python tools/transfer_experiment.py configs/experiments/demo.py report \
        --data data/synthetic_demo

Expected: see docs/experiments.md.
"""

name = "demo"
question = "Does gesture pretraining lower the error of hand poses?"

data = dict(index="data/synthetic_demo/index", taxonomy="interhand26m", workers=0, val_split=None)
backbones = dict(hrnet_tiny=dict(arch="hrnet_w16_tiny", size_px=96))
seeds = [0, 1]
fractions = [0.03]

arms = dict(
    random=dict(init="random", text="no pretraining"),
    gesture=dict(pretrain=dict(), text="pretrained on coarse and fine gestures"),
    shuffled=dict(
        pretrain=dict(data=dict(label_variant="shuffled")),
        text="the same pretraining, gestures exchanged among the images",
    ),
)
targets = {
    "token fusion": dict(
        target="token_fusion",
        model=dict(size="tiny", guidance="none"),
        text="token fusion, tiny, without guidance",
    ),
    "token fusion, guided": dict(
        target="token_fusion",
        model=dict(size="tiny", guidance="both"),
        text="token fusion, tiny, guided by coarse and fine gesture logits",
    ),
    "EANet": dict(
        target="eanet",
        model=dict(size="tiny", allow_projection=True),
        text="EANet, tiny, without gesture logits",
    ),
}

pretraining = dict(
    data=dict(
        batch_size=64,
        augmentation=dict(scale=0.15, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.5),
    ),
    heads=dict(hidden=256, dropout=0.2),
    objective=dict(ramp=dict(start=0.5, step=0.0, every_epochs=10, maximum=1.0)),
    optimizer=dict(lr=3e-3, weight_decay=0.05),
    schedule=dict(iterations=500, warmup_iterations=30, final_lr_ratio=0.01),
    training=dict(
        clip_norm=1.0,
        ema_decay=0.98,
        channels_last=True,
        checkpoint_every=100,
        log_every=20,
        threads=1,
    ),
)
finetuning = dict(
    data=dict(
        batch_size=16,
        augmentation=dict(scale=0.15, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.0),
    ),
    hand_model=dict(path="open", tip_convention="smplx"),
    optimizer=dict(lr=2e-3, weight_decay=0.05),
    schedule=dict(iterations=150, warmup_iterations=15, final_lr_ratio=0.01),
    training=dict(clip_norm=1.0, channels_last=True, checkpoint_every=75, log_every=15, threads=1),
)

protocols = ["interhand_wrist", "eanet_corrected", "pa_mpjpe"]
comparisons = [
    dict(arm="gesture", reference="random", text="Pretraining as a whole."),
    dict(arm="gesture", reference="shuffled", text="What the gestures add to the images."),
]
diagnostics = dict(train_images=600, test_images=400)
planning = dict(
    cluster_sd_mm=8.0,
    seed_sd_mm=1.0,
    images_per_s=100.0,
    source="a guess, to be replaced by an earlier report",
)
