"""Backbones as files of other libraries."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "export_weights": "adapters.export.backbone_export",
    },
)
