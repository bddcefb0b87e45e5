"""Backbones and gesture heads."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "Backbone": "gesture_pretrain.models.backbone",
        "GestureHeads": "gesture_pretrain.models.gesture_heads",
        "GestureNetwork": "gesture_pretrain.models.gesture_network",
        "GestureOutput": "gesture_pretrain.models.gesture_network",
        "ImageNormaliser": "gesture_pretrain.models.image_normaliser",
        "InputSpec": "gesture_pretrain.models.backbone",
        "build_backbone": "gesture_pretrain.models.backbone",
        "build_gesture_heads": "gesture_pretrain.models.gesture_heads",
        "freeze": "gesture_pretrain.models.frozen_layers",
    },
)
