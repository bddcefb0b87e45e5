"""EANet (Park et al., ICCVW 2023): our own implementation, and our backbone in a checkout."""

from adapters.eanet.checkout_backbone import eanet_checkout_backbone
from adapters.eanet.target import TARGET

__all__ = ["TARGET", "eanet_checkout_backbone"]
