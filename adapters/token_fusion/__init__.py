"""Stage 2: gesture-guided token fusion on top of a pretrained backbone."""

from adapters.token_fusion.target import TARGET

__all__ = ["TARGET"]
