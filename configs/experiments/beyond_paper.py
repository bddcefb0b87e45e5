r"""Which options of gesture pretraining beyond the paper lower the error of hand poses?

Reproduces nothing of the paper: each arm adds one option of docs/pretraining.md to its recipe, on
top of ImageNet weights, with the same network, images and number of steps.

Command: after `make study`, whose finished cells are used again:
    python tools/transfer_experiment.py configs/experiments/beyond_paper.py run \
        --data study/data --out study/experiment --workers 2
    python tools/transfer_experiment.py configs/experiments/beyond_paper.py report \
        --data study/data --out study/experiment

Expected: with three seeds, the options differ from the recipe by -0.9 to +0.7 mm, and all 20
intervals contain zero (docs/pretraining.md). A pretraining takes 5 to 9 minutes and a fine-tuning
about one, on one core (torch 2.14.1).
"""

from mmengine.config import read_base

with read_base():
    from .study import *

name = "beyond_paper"
question = "Which options beyond the paper's recipe lower the error of hand poses?"

targets = {name: targets[name] for name in ("token fusion", "EANet")}
seeds = [0, 1, 2]
fractions = [0.1, 0.01]

arms.update(
    projector=dict(
        init="imagenet",
        pretrain=dict(beyond_paper=dict(projector=dict(head_hidden=256, head_dropout=0.2))),
        text="a perceptron between feature and classifiers",
    ),
    crops=dict(
        init="imagenet",
        pretrain=dict(beyond_paper=dict(crops=dict(full=2, local=2, local_size_px=32))),
        text="two full and two local crops of each image",
    ),
    contrast=dict(
        init="imagenet",
        pretrain=dict(data=dict(views_per_moment=2), beyond_paper=dict(contrast=dict(weight=0.5))),
        text="contrast of moments, fine and coarse gestures; two views of each moment",
    ),
    equivariance=dict(
        init="imagenet",
        pretrain=dict(
            beyond_paper=dict(crops=dict(full=2, local=0), equivariance=dict(weight=0.5))
        ),
        text="two full crops, whose F_lo has to move with them",
    ),
    dense=dict(
        init="imagenet",
        pretrain=dict(beyond_paper=dict(dense=dict(weight=1.0))),
        text="prediction of F_lo at hidden cells",
    ),
)
comparisons = comparisons[:1] + [
    dict(arm=option, reference="imagenet_gesture", text=f"What {option} adds to the recipe.")
    for option in ("projector", "crops", "contrast", "equivariance", "dense")
]
