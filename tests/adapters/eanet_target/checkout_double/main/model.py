"""Builds the network; the optimiser reads `trainable_modules`, as in the published code."""

import torch
from config import cfg
from nets.backbone import ResNetBackbone
from nets.head import HandHead
from torch import nn


class Model(nn.Module):
    def __init__(self, hand_backbone, hand_head):
        super().__init__()
        self.hand_backbone = hand_backbone
        self.hand_head = hand_head
        self.mano_layer = nn.Linear(1, 1)
        self.trainable_modules = [self.hand_backbone, self.hand_head]

    def forward(self, inputs, targets, mode):
        pose = self.hand_head(self.hand_backbone(inputs["img"]))
        if mode == "train":
            return {"mano_pose": (pose - targets["mano_pose"]).abs()}
        return {"mano_pose": pose}


def get_model(mode):
    hand_backbone = ResNetBackbone(cfg.resnet_type)
    hand_head = HandHead()
    if mode == "train":
        hand_backbone.init_weights()
        torch.nn.init.normal_(hand_head.out.weight, std=0.1)
    return Model(hand_backbone, hand_head)
