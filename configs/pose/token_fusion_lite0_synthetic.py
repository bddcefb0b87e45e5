r"""The shipped pose network: token fusion on the shipped gesture backbone, rendered hands only.

Reproduces nothing of the paper. `gesture-pretrain predict` uses it unless another network is named.

Command, after the data of configs/pretrain/lite0_synthetic.py were rendered:
    python tools/train.py configs/pose/token_fusion_lite0_synthetic.py --data data/edition2 \
        --backbone tf_efficientnet_lite0.gesture_synthetic --predict test

Expected: not measured yet.
"""

target = "token_fusion"
model = dict(
    size="tiny",
    guidance="none",
    channels=64,
    depth_cells=16,
    width=128,
    head_hidden=256,
)
seed = 0

data = dict(
    index="data/edition2/index",
    taxonomy="interhand26m",
    batch_size=32,
    workers=1,
    val_images=512,
    augmentation=dict(
        scale=0.25,
        rotation_deg=45.0,
        translation=0.1,
        colour=0.3,
        flip=0.0,
    ),
)
backbone = dict(arch="tf_efficientnet_lite0", init="imagenet", size_px=128)
hand_model = dict(path="open", tip_convention="smplx")
optimizer = dict(lr=5e-4, weight_decay=0.05)
schedule = dict(iterations=7000, warmup_iterations=200, final_lr_ratio=0.01)
training = dict(
    clip_norm=1.0,
    ema_decay=0.998,
    channels_last=True,
    validate_every=500,
    checkpoint_every=200,
    log_every=20,
    threads=1,
)
