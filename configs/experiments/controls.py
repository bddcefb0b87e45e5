r"""What in gesture pretraining helps: labels, images, steps, handedness, or one level alone.

Reproduces nothing of the paper, which has no controls.

Command:
    python tools/prepare_data.py interhand --root data/interhand26m
    python tools/transfer_experiment.py configs/experiments/controls.py run --dry-run
    python tools/transfer_experiment.py configs/experiments/controls.py run

`--data` and a smaller plan file on top of this one run it on other data. Needs MANO in $MANO_DIR
and timm's ImageNet weights of HRNet-W18.

Expected: unknown. Not run by us: it needs the dataset and a GPU.
"""

from mmengine.config import read_base

with read_base():
    from .table2 import *

name = "controls"
question = "What in gesture pretraining helps?"

backbones = dict(hrnet=dict(arch="hrnet_w18", size_px=256))
# a control differs from gestures in its labels alone: same start, images and steps
arms = dict(
    imagenet=dict(init="imagenet", text="ImageNet weights, no pretraining by the plan"),
    imagenet_gesture=dict(
        init="imagenet", pretrain=dict(), text="ImageNet, then coarse and fine gestures"
    ),
    imagenet_shuffled=dict(
        init="imagenet",
        pretrain=dict(data=dict(label_variant="cluster_shuffled")),
        text="ImageNet, then gestures exchanged among the sequences of all subjects",
    ),
    image_shuffled=dict(
        init="imagenet",
        pretrain=dict(data=dict(label_variant="shuffled")),
        text="ImageNet, then gestures exchanged among the images",
    ),
    sequence_identity=dict(
        init="imagenet",
        pretrain=dict(data=dict(label_variant="sequence_identity")),
        text="ImageNet, then one class per sequence of a subject",
    ),
    handedness_only=dict(
        init="imagenet",
        pretrain=dict(data=dict(label_variant="handedness_only")),
        text="ImageNet, then right or left alone",
    ),
    coarse_only=dict(
        init="imagenet",
        pretrain=dict(data=dict(label_variant="coarse_only")),
        text="ImageNet, then coarse gestures at both levels",
    ),
    fine_only=dict(
        init="imagenet",
        pretrain=dict(data=dict(label_variant="fine_only")),
        text="ImageNet, then fine gestures at both levels",
    ),
    most_gestures=dict(
        init="imagenet",
        pretrain=dict(data=dict(withheld=0.2)),
        text="ImageNet, then gestures of which a fifth is withheld",
    ),
    longer=dict(
        init="imagenet",
        extra="pretraining",
        text="ImageNet; fine-tuning is longer by the images of the pretraining",
    ),
    random=dict(init="random", finetuning=dict(optimizer=dict(lr=3e-4)), text="no pretraining"),
    gesture=dict(
        pretrain=dict(optimizer=dict(lr=1e-3)), text="coarse and fine gestures, from random weights"
    ),
)
targets = {
    "token fusion": dict(
        target="token_fusion", model=dict(guidance="none"), text="token fusion, without guidance"
    ),
}
fractions = [0.1]
comparisons = [
    dict(arm="imagenet_gesture", reference="imagenet", text="Pretraining on top of ImageNet."),
    dict(
        arm="imagenet_gesture",
        reference="imagenet_shuffled",
        text="What the gestures add to labels that mean nothing across subjects.",
    ),
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
    dict(
        arm="imagenet_gesture", reference="longer", text="Against the same compute spent on pose."
    ),
    dict(arm="imagenet_gesture", reference="coarse_only", text="What the fine level adds."),
    dict(arm="imagenet_gesture", reference="fine_only", text="What the coarse level adds."),
    dict(
        arm="most_gestures",
        reference="imagenet",
        text="Gestures that were withheld from pretraining, and the others.",
    ),
    dict(arm="gesture", reference="random", text="Pretraining from random weights."),
]
