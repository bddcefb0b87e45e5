r"""`study` with a learning rate for each arm: is the gain an effect of one rate for all?

Reproduces nothing of the paper, which states one learning rate.

Command: after `make study` and from the same folder; its pretrainings are used again:
    python tools/transfer_experiment.py configs/experiments/study_rates.py run \
        --data study/data --out study/experiment --workers 2
    python tools/transfer_experiment.py configs/experiments/study_rates.py report \
        --data study/data --out study/experiment

Expected: the rule chooses 1e-3, the rate of `study`, for all three arms, so that the differences
are those of `study`: 2.3 mm below ImageNet and below shuffled labels, both significant among these
two (once, torch 2.14.1, docs/experiments.md). About 15 minutes with one process.
"""

from mmengine.config import read_base

with read_base():
    from .study import *

name = "study_rates"
question = "Do gestures help if each arm has its own learning rate?"

targets = {name: targets[name] for name in ("token fusion",)}
seeds = [0, 1, 2]
fractions = [0.1]
comparisons = comparisons[:2]
learning_rate = dict(candidates=[3e-4, 1e-3, 3e-3], split="val")
