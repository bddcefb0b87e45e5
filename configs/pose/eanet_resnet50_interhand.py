r"""EANet on gesture-pretrained ResNet-50: the swap of arXiv 2603.17396, on InterHand2.6M.

Reproduces the row "EANet, gesture pretraining" of the paper's Table 2, with the backbone of
its author's public code (the text speaks of HRNet).

Command:
    python tools/prepare_data.py interhand --root data/interhand26m
    torchrun --nproc-per-node 4 tools/pretrain_backbone.py configs/pretrain/resnet50_interhand.py
    torchrun --nproc-per-node 4 tools/train.py configs/pose/eanet_resnet50_interhand.py \
        --predict test --box-source rootnet

Needs MANO (right and left) in $MANO_DIR.

Expected, by the paper: MPJPE 4.86 mm, MPVPE 5.17 mm under EANet's protocol (4.94 and 5.26 without
gesture pretraining). Not run by us: it needs the dataset and a GPU.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.pose_interhand_256 import *

target = "eanet"
backbone = dict(name="resnet50.gesture_interhand26m", size_px=256)
# both hands are learned from crops of one by mirroring every other crop
data["augmentation"].update(flip=0.5)
