"""The double's own backbone, which nobody should meet: it would need a download."""

from torch import nn
from torchvision.models.resnet import model_urls


class ResNetBackbone(nn.Module):
    def __init__(self, resnet_type):
        super().__init__()
        self.url = model_urls[f"resnet{resnet_type}"]
        self.conv1 = nn.Conv2d(3, 2048, 1, stride=32)

    def init_weights(self):
        raise RuntimeError(f"would download {self.url}")

    def forward(self, image):
        return self.conv1(image)
