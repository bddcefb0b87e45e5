"""The double's own backbone, which would require a download, and one head for all others."""

from torch import nn


class ResNetBackbone(nn.Module):
    def __init__(self, resnet_type):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2048, 1, stride=32)

    def init_weights(self):
        raise RuntimeError("would download weights")

    def forward(self, image):
        return self.conv1(image)


class HandHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(2048, 6)

    def forward(self, feature):
        assert feature.shape[1:] == (2048, 8, 8), feature.shape
        return self.out(feature.mean((2, 3)))
