"""EANet (Park et al., ICCVW 2023) as a target: our own implementation, or a checkout of theirs."""

from adapters.eanet.target import TARGET

__all__ = ["TARGET"]
