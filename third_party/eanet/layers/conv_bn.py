"""The 1x1 convolution, batch norm and ReLU between EANet's parts."""

from torch import nn


def conv_bn(channels_in: int, channels_out: int) -> nn.Sequential:
    """Map (B, channels_in, H, W) to (B, channels_out, H, W); the convolution has a bias."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
