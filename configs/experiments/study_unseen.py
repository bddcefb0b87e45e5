r"""`study` scored on more gestures: does the gain hold for gestures that no pretraining saw?

Reproduces nothing of the paper. The test images of `study` show two withheld gestures. These images
are of 24 other subjects, and three quarters of their recordings show gestures.

Command: after `make study` and from the same folder; its pretrainings are used again:
    python tools/prepare_data.py synthetic --root study/test_gestures --edition 2 --seed 1 \
        --train 0 --val 0 --test 2880 --test-subjects 24 --test-continuous 0.25 \
        --frames-per-take 3 --cameras 2 --size 112 --view-limit 60 --roll-limit 45 --view-side palm
    python tools/transfer_experiment.py configs/experiments/study_unseen.py run \
        --data study/data --out study/experiment --workers 2
    python tools/transfer_experiment.py configs/experiments/study_unseen.py report \
        --data study/data --out study/experiment

Expected: with token fusion, gestures are 2.6 mm below ImageNet and 3.5 mm below shuffled labels,
both significant; on gestures that the pretraining has not seen 2.7 and 3.2 mm. With EANet 9.1 and
1.2 mm, not significant (once, torch 2.14.1, docs/experiments.md). 14 minutes with one process.
"""

from mmengine.config import read_base

with read_base():
    from .study import *

name = "study_unseen"
question = "Do gestures help poses of gestures that the pretraining has not seen?"

targets = {name: targets[name] for name in ("token fusion", "EANet")}
seeds = [0, 1, 2]
fractions = [0.1]
curve = []
test = dict(index="study/test_gestures/index")
comparisons = comparisons[:2]
