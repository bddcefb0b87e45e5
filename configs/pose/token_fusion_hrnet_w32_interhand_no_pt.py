r"""The twin of token_fusion_hrnet_w32_interhand.py without gesture pretraining: one line differs.

Reproduces no row of the paper by itself: guidance stays on, from heads that are trained with the
rest. The paper's row "w/o PT" changes both at once, which is model.guidance=none on top of this.

Command:
    python tools/prepare_data.py interhand --root data/interhand26m
    torchrun --nproc-per-node 4 tools/train.py \
        configs/pose/token_fusion_hrnet_w32_interhand_no_pt.py --predict test --box-source rootnet

Needs MANO (right and left) in $MANO_DIR.

Expected: the paper has this with model.guidance=none alone, MPJPE 5.00 mm and MPVPE 5.35 mm.
Not run by us: it needs the dataset and a GPU.
"""

from mmengine.config import read_base

with read_base():
    from .token_fusion_hrnet_w32_interhand import *

backbone = dict(arch="hrnet_w32", init="imagenet", size_px=256)
