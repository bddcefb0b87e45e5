"""Backbones as files of other libraries."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "data_preprocessor_config": "adapters.export.to_mmpose",
        "export_weights": "adapters.export.backbone_export",
        "pull_backbone": "adapters.export.to_hub",
        "push_backbone": "adapters.export.to_hub",
        "register_gesture_backbone": "adapters.export.to_mmpose",
    },
)
