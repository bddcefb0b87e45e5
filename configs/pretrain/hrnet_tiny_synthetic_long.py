r"""A small HRNet on a larger embedded dataset, on a CPU, within an hour.

Reproduces nothing of the paper; it is meant for machines without a GPU.

Command:
    python tools/prepare_data.py synthetic --root data/synthetic_long --train 48000 --val 2000 \
        --test 400 --size 144 --view-limit 50 --roll-limit 45 --view-side palm \
        --train-subjects 60 --val-subjects 10
    python tools/pretrain_backbone.py configs/pretrain/hrnet_tiny_synthetic_long.py \
        --data data/synthetic_long

Expected: coarse top-1 84.0 % of 54 classes, fine 77.7 % of 70, on 2,000 images of unseen persons;
52.9 minutes (once, seed 0, torch 2.15.0, 2 cores of a 4-core x86-64 virtual machine;
docs/lab/measured.md).
"""

from mmengine.config import read_base

with read_base():
    from .hrnet_tiny_synthetic_demo import *

tag = "gesture_synthetic_long"
data.update(index="data/synthetic_long/index")
backbone.update(arch="hrnet_w16_mini", size_px=96)
schedule.update(epochs=10, warmup_iterations=200)
training.update(ema_decay=0.998, log_every=50)
