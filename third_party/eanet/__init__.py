"""EANet, implemented independently from a description; see ``README.md``."""

from eanet.network import EANet, EANetOutput
from eanet.quirks import CORRECT, UPSTREAM, Quirks, find_quirks
from eanet.resnet import ResNet50Map

__all__ = [
    "CORRECT",
    "UPSTREAM",
    "EANet",
    "EANetOutput",
    "Quirks",
    "ResNet50Map",
    "find_quirks",
]
