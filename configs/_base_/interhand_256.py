"""InterHand2.6M v1.0 at 256 px, and the objective, optimiser and schedule of gesture pretraining.

The paper (arXiv 2603.17396) gives the objective and the ten-epoch steps of its ramp. All else is
our assumption: AdamW, cosine with warm-up, the augmentation ranges, the number of epochs. The
learning rate suits ImageNet weights; from random weights use 1e-3, as the plans do.
"""

tag = "gesture_interhand26m"
seed = 0

data = dict(
    index="data/interhand26m/index",
    taxonomy="interhand26m",
    single_hand_only=True,
    batch_size=256,
    workers=8,
    augmentation=dict(scale=0.25, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.5),
)
heads = dict(hidden=1024, dropout=0.5)
# 0.1, 0.55 and, for the last third of the schedule, 1.0
objective = dict(ramp=dict(start=0.1, step=0.45, every_epochs=10, maximum=1.0))
optimizer = dict(lr=3e-4, weight_decay=0.05)
schedule = dict(epochs=30, warmup_iterations=1000, final_lr_ratio=0.01)
training = dict(
    precision="auto",
    clip_norm=1.0,
    ema_decay=0.9998,
    channels_last=True,
    # 32 images per GPU suffice for batch norm, while sync_bn makes the host wait at every layer
    sync_bn=False,
    checkpoint_every=1000,
    log_every=50,
)
