"""A small HRNet on photographs sorted into one folder per class.

Reproduces nothing of the paper.

Each folder name is a class at both levels, so the fine head repeats the coarse one. For
classes that belong together, write a CSV (label, coarse, fine) and set data.taxonomy to it.
No flip: a folder does not say what the mirror image of its class is.

Command:
    python tools/prepare_data.py folders --root PHOTOGRAPHS
    python tools/pretrain_backbone.py configs/pretrain/folders.py --data PHOTOGRAPHS
    … --init hrnet_w16_tiny.gesture_synthetic_demo starts from that backbone of the registry instead
    of random weights.

Expected: it depends on the photographs. On 962 of ten sign-language digits validation top-1 was
99.0 % from random weights and 99.7 % from the demo's backbone (300 others; docs/lab/measured.md).
"""

tag = "gesture_folders"
seed = 0

data = dict(
    index="data/folders/index",
    taxonomy="index_labels",
    batch_size=32,
    workers=1,
    augmentation=dict(scale=0.15, rotation_deg=20.0, translation=0.05, colour=0.2, flip=0.0),
)
backbone = dict(arch="hrnet_w16_tiny", init="random", size_px=96)
heads = dict(hidden=256, dropout=0.2)
objective = dict(ramp=dict(start=0.1, step=0.45, every_epochs=5, maximum=1.0))
optimizer = dict(lr=1e-3, weight_decay=0.05)
schedule = dict(epochs=15, warmup_iterations=30, final_lr_ratio=0.01)
training = dict(clip_norm=1.0, channels_last=True, log_every=10)
