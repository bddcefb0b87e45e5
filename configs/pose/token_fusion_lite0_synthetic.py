r"""The shipped pose network: token fusion for rendered and photographed single hands.

Reproduces nothing of the paper. `gesture-pretrain predict` uses it unless another network is named.
The first run has wider heads, which would not fit into the package; the second starts from its
backbone. Its commands follow those of `lite0_synthetic` in configs/pretrain.

Command:
    python tools/train.py configs/pose/token_fusion_lite0_synthetic.py --data data/edition2 \
        --backbone tf_efficientnet_lite0.gesture_synthetic --out runs/wide_heads \
        schedule.iterations=3000 schedule.warmup_iterations=200 \
        model.channels=64 model.width=128 model.head_hidden=256
    python -c "from adapters.transfer.pose_backbone import register_pose_backbone as register; \
        register('runs/wide_heads/model', tag='pose_synthetic')"
    python tools/train.py configs/pose/token_fusion_lite0_synthetic.py --data data/edition2 \
        --backbone tf_efficientnet_lite0.pose_synthetic --seed 1 --predict test

Expected: MPJPE 36.3 mm after the first run and 40.6 mm after the second, on 512 validation images
of unseen people in all views; the mean pose has 110.4 mm. 65 and 14 minutes with one thread (once,
torch 2.14.1, 2 cores that other jobs kept busy).
"""

target = "token_fusion"
model = dict(size="tiny", guidance="none", depth_cells=16)
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
schedule = dict(iterations=1000, warmup_iterations=50, final_lr_ratio=0.01)
training = dict(
    clip_norm=1.0,
    ema_decay=0.998,
    channels_last=True,
    validate_every=250,
    checkpoint_every=200,
    log_every=20,
    threads=1,
)
