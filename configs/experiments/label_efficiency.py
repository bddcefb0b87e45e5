r"""How much is gesture pretraining worth in pose labels: 1, 5, 10, 25 and 100 % of them.

Reproduces nothing of the paper, which has all labels in every row.

Command:
    python tools/prepare_data.py interhand --root data/interhand26m
    python tools/transfer_experiment.py configs/experiments/label_efficiency.py run --dry-run
    python tools/transfer_experiment.py configs/experiments/label_efficiency.py run

The steps are the same at every fraction, so that only the labels differ. Needs MANO in $MANO_DIR.

Expected: unknown. Not run by us: it needs the dataset and a GPU.
"""

from mmengine.config import read_base

with read_base():
    from .table2 import *

name = "label_efficiency"
question = "How many pose labels is gesture pretraining worth?"

backbones = dict(hrnet=dict(arch="hrnet_w18", size_px=256))
targets = {
    "token fusion": dict(
        target="token_fusion", model=dict(guidance="none"), text="token fusion, without guidance"
    ),
    "EANet": dict(
        target="eanet",
        model=dict(gesture_logits="none"),
        finetuning=dict(data=dict(augmentation=dict(flip=0.5))),  # as in table2
        text="EANet, initial weights only",
    ),
}
fractions = [0.01, 0.05, 0.1, 0.25, 1.0]
finetuning.update(schedule=dict(iterations=20000, warmup_iterations=1000, final_lr_ratio=0.01))
comparisons = comparisons[:4]  # table2's without those between targets
