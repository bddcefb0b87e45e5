"""The embedded dataset at 96 px for pose networks: minutes on a CPU."""

seed = 0

data = dict(
    index="data/synthetic_demo/index",
    taxonomy="interhand26m",
    batch_size=32,
    workers=1,
    val_images=512,
    augmentation=dict(scale=0.15, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.0),
)
backbone = dict(arch="hrnet_w16_tiny", init="random", size_px=96)
hand_model = dict(path="open", tip_convention="smplx")
optimizer = dict(lr=2e-3, weight_decay=0.05)
schedule = dict(iterations=300, warmup_iterations=30, final_lr_ratio=0.01)
training = dict(
    clip_norm=1.0,
    channels_last=True,
    validate_every=300,
    checkpoint_every=100,
    log_every=10,
)
