r"""Further controls of `study`: are gestures better than other labels of the same images?

Reproduces nothing of the paper, which has no controls.

Command: after `make study` and from the same folder; its finished cells are used again:
    python tools/transfer_experiment.py configs/experiments/study_controls.py run \
        --data study/data --out study/experiment --workers 2
    python tools/transfer_experiment.py configs/experiments/study_controls.py report \
        --data study/data --out study/experiment

Expected: gestures have the lowest error, 0.4 to 1.6 mm below sequences and 1.0 to 1.7 mm below
handedness; one of these eight differences is significant (once, torch 2.14.1, docs/experiments.md).
About 50 minutes with one process.
"""

from mmengine.config import read_base

with read_base():
    from .study import *  # isort: skip
    from .controls import arms as control_arms
    from .controls import comparisons as control_comparisons

name = "study_controls"
question = "Are gestures better than other labels of the same images?"

controls = ("sequence_identity", "handedness_only")
arms.update({name: control_arms[name] for name in controls})
targets = {name: targets[name] for name in ("token fusion", "EANet")}
seeds = [0, 1, 2]
fractions = [0.1, 0.01]
comparisons = comparisons[:2] + [one for one in control_comparisons if one["reference"] in controls]
del controls, control_arms, control_comparisons
