r"""Which options of gesture pretraining beyond the paper lower the error, from random weights?

Reproduces nothing of the paper. `beyond_paper` asks the same on top of ImageNet weights; this plan
has the network, data and recipe of `demo`. `equivariance_shuffled` has the same losses on gestures
exchanged among the sequences of all subjects.

Command: after `make demo`, whose data it uses:
    python tools/transfer_experiment.py configs/experiments/beyond_paper_random.py run \
        --data demo/data --workers 2
    python tools/transfer_experiment.py configs/experiments/beyond_paper_random.py report \
        --data demo/data

Expected: no option differs significantly from the recipe, from -2.9 to +1.1 mm with three seeds.
Equivariance with exchanged labels has nearly the MPJPE of the recipe, but a PA-MPJPE that is 3 to
5 mm higher (docs/pretraining.md). 57 minutes on two cores (once, torch 2.14.1).
"""

from mmengine.config import read_base

with read_base():
    from .demo import *

name = "beyond_paper_random"
question = "Which options beyond the paper's recipe lower the error, from random weights?"

fractions = [0.03, 0.01]  # 360 and 120 of 12,000 images

COMBINED = dict(
    data=dict(views_per_moment=2),
    beyond_paper=dict(
        projector=dict(head_hidden=256, head_dropout=0.2),
        crops=dict(full=2, local=0),
        contrast=dict(weight=0.5),
        equivariance=dict(weight=0.5),
    ),
)
EQUIVARIANCE = dict(crops=dict(full=2, local=0), equivariance=dict(weight=0.5))
SHUFFLED = dict(label_variant="cluster_shuffled")

arms = dict(
    random=dict(init="random", text="no pretraining"),
    gesture=dict(pretrain=dict(), text="coarse and fine gestures: the recipe"),
    projector=dict(
        pretrain=dict(beyond_paper=dict(projector=dict(head_hidden=256, head_dropout=0.2))),
        text="a perceptron between feature and classifiers",
    ),
    contrast=dict(
        pretrain=dict(data=dict(views_per_moment=2), beyond_paper=dict(contrast=dict(weight=0.5))),
        text="contrast of moments, fine and coarse gestures; two views of each moment",
    ),
    equivariance=dict(
        pretrain=dict(beyond_paper=EQUIVARIANCE),
        text="two full crops, whose F_lo has to move with them",
    ),
    equivariance_shuffled=dict(
        pretrain=dict(data=SHUFFLED, beyond_paper=EQUIVARIANCE),
        text="the same loss, gestures exchanged among the sequences",
    ),
    combined=dict(
        pretrain=COMBINED, text="projector, contrast and equivariance, with two full crops"
    ),
)
del COMBINED, EQUIVARIANCE, SHUFFLED

# that of configs/pretrain/hrnet_tiny_synthetic_demo.py, on one thread
pretraining = dict(
    data=dict(
        batch_size=64,
        augmentation=dict(scale=0.15, rotation_deg=30.0, translation=0.05, colour=0.2, flip=0.5),
    ),
    heads=dict(hidden=256, dropout=0.2),
    objective=dict(ramp=dict(start=0.5, step=0.0, every_epochs=10, maximum=0.5)),
    optimizer=dict(lr=3e-3, weight_decay=0.05),
    schedule=dict(epochs=5, warmup_iterations=60, final_lr_ratio=0.01),
    training=dict(clip_norm=1.0, ema_decay=0.99, channels_last=True, log_every=10, threads=1),
)
comparisons = [
    dict(arm="gesture", reference="random", text="The recipe as a whole."),
    *(
        dict(arm=option, reference="gesture", text=f"What {option} adds to the recipe.")
        for option in ("projector", "contrast", "equivariance", "combined")
    ),
    dict(
        arm="equivariance",
        reference="equivariance_shuffled",
        text="What the gestures add to the losses of equivariance.",
    ),
]
planning.update(images_per_s=125.0, pretraining_images_per_s=230.0)
