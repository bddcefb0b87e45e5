"""Gesture pretraining of HRNet-W18 on InterHand2.6M: Stage 1 of arXiv 2603.17396.

Reproduces the weights that the paper's pose networks start from.

Command:
    python tools/prepare_data.py interhand --root data/interhand26m
    torchrun --nproc-per-node 4 tools/pretrain_backbone.py configs/pretrain/hrnet_w18_interhand.py

Controls: data.label_variant=cluster_shuffled, data.label_variant=handedness_only, and random
instead of ImageNet weights with --init random optimizer.lr=1e-3.

Expected: the paper gives neither accuracy nor hours for this stage. Not run by us: it needs the
dataset and a GPU.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.interhand_256 import *

backbone = dict(arch="hrnet_w18", init="imagenet", size_px=256)
