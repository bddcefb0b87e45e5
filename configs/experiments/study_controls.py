r"""Further controls of `study`: are gestures better than other labels of the same images?

Reproduces nothing of the paper, which has no controls.

Command: after `make study`, in its folder, whose finished cells are used again:
    python tools/transfer_experiment.py configs/experiments/study_controls.py run \
        --data study/data --out study/experiment --workers 2
    python tools/transfer_experiment.py configs/experiments/study_controls.py report \
        --data study/data --out study/experiment

Expected: gestures have the lowest error, 0.4 to 1.6 mm below sequences and 1.0 to 1.7 mm below
handedness; one of these eight differences is significant (once, torch 2.14.1, docs/experiments.md).
About 70 minutes with one process.
"""

from mmengine.config import read_base

with read_base():
    from .study import *  # isort: skip
    from .controls import arms as controls

name = "study_controls"
question = "Are gestures better than other labels of the same images?"

arms["sequence_identity"] = controls["sequence_identity"]
arms["handedness_only"] = controls["handedness_only"]
del controls
targets = {name: targets[name] for name in ("token fusion", "EANet")}
seeds = [0, 1, 2]
fractions = [0.1, 0.01]
comparisons = [
    *comparisons[:2],
    dict(
        arm="imagenet_gesture",
        reference="sequence_identity",
        text="What gestures add to distinguishing sequences.",
    ),
    dict(
        arm="imagenet_gesture",
        reference="handedness_only",
        text="What gestures add to handedness.",
    ),
]
