"""A miniature with the shape of the InterHand2.6M release, to try commands and configs on."""

from gesture_pretrain.synthetic.miniature.build import write_miniature

__all__ = ["write_miniature"]
