r"""A small HRNet on the embedded dataset, on a CPU, in minutes: the demo.

Reproduces nothing of the paper; it shows that the pipeline learns gestures of unseen subjects.

Command:
    python tools/prepare_data.py synthetic --root data/synthetic_demo --train 12000 --val 600 \
        --test 384 --test-subjects 24 --size 112 --view-limit 50 --roll-limit 45 --view-side palm
    python tools/pretrain_backbone.py configs/pretrain/hrnet_tiny_synthetic_demo.py \
        --data data/synthetic_demo

Expected: validation coarse top-1 45.0 % (54 classes), fine 36.7 %, in 2.6 minutes on one core
while `make demo` trained its control on another (once, seed 0, torch 2.14.1).
"""

tag = "gesture_synthetic_demo"
seed = 0

data = dict(
    index="data/synthetic_demo/index",
    taxonomy="interhand26m",
    batch_size=64,
    workers=1,
    augmentation=dict(scale=0.15, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.5),
)
backbone = dict(arch="hrnet_w16_tiny", init="random", size_px=64)
heads = dict(hidden=256, dropout=0.2)
# Few epochs: the fine loss keeps half weight throughout instead of rising over tens of epochs.
objective = dict(ramp=dict(start=0.5, step=0.0, every_epochs=10, maximum=0.5))
optimizer = dict(lr=3e-3, weight_decay=0.05)
schedule = dict(epochs=5, warmup_iterations=60, final_lr_ratio=0.01)
training = dict(clip_norm=1.0, ema_decay=0.99, channels_last=True, log_every=10)
