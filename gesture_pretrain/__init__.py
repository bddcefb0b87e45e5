"""Gesture-aware backbone pretraining for 3D hand pose.

The functions below are imported on first use, so that importing the package loads neither torch
nor an optional dependency.
"""

from gesture_pretrain.lazy import lazy_names

__version__ = "0.2.0"

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "evaluate_features": "gesture_pretrain.evaluation.features.run",
        "evaluate_predictions": "gesture_pretrain.evaluation.prediction_files",
        "export_backbone": "gesture_pretrain.weights.export",
        "list_backbones": "gesture_pretrain.weights.registry",
        "load_backbone": "gesture_pretrain.weights.registry",
        "pretrain": "gesture_pretrain.pretraining.stage",
        "register_backbone": "gesture_pretrain.weights.registry",
    },
)
__all__ = ["__version__", *__all__]


def __dir__() -> list[str]:
    return __all__
