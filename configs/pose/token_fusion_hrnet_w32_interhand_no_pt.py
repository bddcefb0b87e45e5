r"""The twin of token_fusion_hrnet_w32_interhand.py without gesture pretraining: one line differs.

Guidance stays on, from heads that are trained with the rest; the paper's row "w/o PT" (MPJPE 5.00,
MPVPE 5.35 mm) changes both at once, which is model.guidance=none on top of this.

Command:
    torchrun --nproc-per-node 4 tools/train.py \
        configs/pose/token_fusion_hrnet_w32_interhand_no_pt.py --predict test --box-source rootnet

Needs MANO (right and left) in $MANO_DIR. Expected: not measured by us.
"""

from mmengine.config import read_base

with read_base():
    from .token_fusion_hrnet_w32_interhand import *

backbone = dict(arch="hrnet_w32", init="timm", size_px=256)
