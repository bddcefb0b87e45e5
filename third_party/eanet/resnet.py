"""Upstream's backbone: torchvision's ResNet-50 without pooling and classifier."""

from torch import Tensor, nn
from torchvision.models import resnet50


class ResNet50Map(nn.Module):
    """ResNet-50 (He et al., 2016; stride in the 3x3 convolution) up to its last map.

    Parameters and buffers have torchvision's names, less ``fc``; weights are random.
    """

    out_channels = 2048

    def __init__(self) -> None:
        super().__init__()
        whole = resnet50(weights=None)
        self.conv1, self.bn1, self.relu, self.maxpool = (
            whole.conv1, whole.bn1, whole.relu, whole.maxpool,
        )  # fmt: skip
        self.layer1, self.layer2 = whole.layer1, whole.layer2
        self.layer3, self.layer4 = whole.layer3, whole.layer4

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 2048, H / 32, W / 32), after the last ReLU."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        return self.layer4(self.layer3(self.layer2(self.layer1(features))))
