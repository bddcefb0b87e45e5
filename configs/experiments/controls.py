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
    from .table2 import *  # isort: skip
    from .._base_.plan_from_imagenet import arms, comparisons

name = "controls"
question = "What in gesture pretraining helps?"

backbones = dict(hrnet=dict(arch="hrnet_w18", size_px=256))
# random weights need a higher rate
arms["random"].update(finetuning=dict(optimizer=dict(lr=3e-4)))
arms["gesture"].update(pretrain=dict(optimizer=dict(lr=1e-3)))
# a control differs from gestures in its labels alone: same start, images and steps
arms.update(
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
)
targets = {
    "token fusion": dict(
        target="token_fusion", model=dict(guidance="none"), text="token fusion, without guidance"
    ),
}
fractions = [0.1]
comparisons = [
    *comparisons,
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
]
