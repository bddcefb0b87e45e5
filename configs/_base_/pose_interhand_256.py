"""Single hands of InterHand2.6M v1.0 at 256 px, for about as long as EANet was published with.

The paper (arXiv 2603.17396) trains on the single-hand subset by EANet's protocol and says no more.
From EANet: batch 128, rate 1e-4 without decay, 30 epochs (its published snapshot; a step schedule
there, a cosine here), and its ranges of scale and rotation. Its rotations are clipped normal draws
in 60 % of the crops; the uniform ones here have the same spread. Our assumptions are warm-up,
clipping, and shifts: the test is on RootNet's boxes, which are not centred as the annotated boxes
are. The learning rate suits pretrained weights; from random weights the plans use 3e-4.
"""

seed = 0

data = dict(
    index="data/interhand26m/index",
    taxonomy="interhand26m",
    batch_size=128,
    workers=8,
    val_images=20000,
    augmentation=dict(scale=0.25, rotation_deg=40.0, translation=0.1, colour=0.2, flip=0.0),
)
# MANO in $MANO_DIR; fingertips of the regressor that the dataset distributes
hand_model = dict(path=None, tip_convention="interhand")
optimizer = dict(lr=1e-4, weight_decay=0.0)
schedule = dict(epochs=30, warmup_iterations=1000, final_lr_ratio=0.01)
training = dict(
    precision="auto",
    clip_norm=1.0,
    channels_last=True,
    # 32 images per GPU suffice for batch norm, while sync_bn makes the host wait at every layer
    sync_bn=False,
    checkpoint_every=1000,
    log_every=50,
)
