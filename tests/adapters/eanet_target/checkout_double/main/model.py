"""Builds the network; the optimiser reads `trainable_modules`, as in the published code."""

from config import cfg
from nets.module import HandHead, ResNetBackbone
from torch import nn


class Model(nn.Module):
    def __init__(self, hand_backbone, hand_head):
        super().__init__()
        self.hand_backbone = hand_backbone
        self.hand_head = hand_head
        self.trainable_modules = [self.hand_backbone, self.hand_head]

    def forward(self, image):
        return self.hand_head(self.hand_backbone(image))


def get_model(mode):
    hand_backbone = ResNetBackbone(cfg.resnet_type)
    hand_head = HandHead()
    if mode == "train":
        hand_backbone.init_weights()
    return Model(hand_backbone, hand_head)
