"""Single hands of InterHand2.6M v1.0 at 256 px.

The paper (arXiv 2603.17396) trains on the single-hand subset and follows EANet's protocol. Batch
size, optimiser, number of epochs and augmentation are not in it; these are our assumptions, the
augmentation with EANet's ranges.
"""

seed = 0

data = dict(
    index="data/interhand26m/index",
    taxonomy="interhand26m",
    batch_size=64,
    workers=8,
    val_images=20000,
    augmentation=dict(scale=0.25, rotation_deg=45.0, translation=0.15, colour=0.2, flip=0.0),
)
# MANO in $MANO_DIR; fingertips of the regressor that the data set distributes
hand_model = dict(path=None, tip_convention="interhand")
optimizer = dict(lr=1e-4, weight_decay=0.05)
schedule = dict(epochs=30, warmup_iterations=1000, final_lr_ratio=0.01)
training = dict(
    precision="auto",
    clip_norm=1.0,
    channels_last=True,
    sync_bn=True,
    checkpoint_every=1000,
    log_every=50,
)
