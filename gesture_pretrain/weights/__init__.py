"""Stored weights: export, registration by name, loading, and use as initial weights."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "WeightsError": "gesture_pretrain.weights.errors",
        "build_starting_backbone": "gesture_pretrain.weights.starting_backbone",
        "export_backbone": "gesture_pretrain.weights.export",
        "find_backbone": "gesture_pretrain.weights.registry",
        "list_backbones": "gesture_pretrain.weights.registry",
        "load_backbone": "gesture_pretrain.weights.registry",
        "load_initial_weights": "gesture_pretrain.weights.initial_weights",
        "register_backbone": "gesture_pretrain.weights.registry",
        "release_backbone": "gesture_pretrain.weights.export",
    },
)
