r"""What in gesture pretraining helps: labels, images, steps, handedness, or one level alone.

Reproduces nothing of the paper, which has no controls.

Command:
    python tools/prepare_data.py interhand --root data/interhand26m
    python tools/transfer_experiment.py configs/experiments/controls.py run --dry-run
    python tools/transfer_experiment.py configs/experiments/controls.py run

`--data` and a smaller plan file on top of this one run it on other data. Needs MANO in $MANO_DIR.

Expected: unknown. Not run by us: it needs the data set and a GPU.
"""

from mmengine.config import read_base

with read_base():
    from .table2 import *

name = "controls"
question = "What in gesture pretraining helps?"

backbones = dict(hrnet=dict(arch="hrnet_w18", size_px=256))
arms = dict(
    random=dict(init="random", text="no pretraining"),
    gesture=dict(pretrain=dict(), text="coarse and fine gestures"),
    shuffled=dict(
        pretrain=dict(data=dict(label_variant="shuffled")),
        text="gestures exchanged among the images",
    ),
    handedness_only=dict(
        pretrain=dict(data=dict(label_variant="handedness_only")), text="right or left alone"
    ),
    coarse_only=dict(
        pretrain=dict(data=dict(label_variant="coarse_only")), text="coarse gestures at both levels"
    ),
    fine_only=dict(
        pretrain=dict(data=dict(label_variant="fine_only")), text="fine gestures at both levels"
    ),
    longer=dict(
        init="random",
        extra="pretraining",
        text="no pretraining; as many images more of fine-tuning as pretraining has",
    ),
)
targets = {
    "token fusion": dict(
        target="token_fusion", model=dict(guidance="none"), text="token fusion, without guidance"
    ),
}
fractions = [0.1]
comparisons = [
    dict(arm="gesture", reference="random", text="Pretraining as a whole."),
    dict(arm="gesture", reference="shuffled", text="What the gestures add to the images."),
    dict(arm="gesture", reference="handedness_only", text="What is more than handedness."),
    dict(arm="gesture", reference="longer", text="Against the same compute spent on pose."),
    dict(arm="gesture", reference="coarse_only", text="What the fine level adds."),
    dict(arm="gesture", reference="fine_only", text="What the coarse level adds."),
]
