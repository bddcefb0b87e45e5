"""EANet (Park et al., ICCVW 2023): an independent implementation, and backbones for a checkout."""

from adapters.eanet.checkout_backbone import eanet_checkout_backbone
from adapters.eanet.target import TARGET

__all__ = ["TARGET", "eanet_checkout_backbone"]
