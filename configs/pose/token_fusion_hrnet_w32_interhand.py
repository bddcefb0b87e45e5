r"""Token fusion on gesture-pretrained HRNet-W32, InterHand2.6M: Stage 2 of arXiv 2603.17396.

Reproduces the row "token fusion, full" of the paper's Table 2.

Command:
    python tools/prepare_data.py interhand --root data/interhand26m
    torchrun --nproc-per-node 4 tools/pretrain_backbone.py configs/pretrain/hrnet_w32_interhand.py
    torchrun --nproc-per-node 4 tools/train.py configs/pose/token_fusion_hrnet_w32_interhand.py \
        --predict test --box-source rootnet

Needs MANO (right and left) in $MANO_DIR.

Expected, by the paper: MPJPE 4.84 mm, MPVPE 5.19 mm under EANet's protocol. Not run by us: it needs
the dataset and a GPU.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.pose_interhand_256 import *

target = "token_fusion"
backbone = dict(name="hrnet_w32.gesture_interhand26m", size_px=256)
model = dict(guidance="both")
