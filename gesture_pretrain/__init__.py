"""Gesture-aware backbone pretraining for 3D hand pose.

The functions below are imported on first use, so that importing the package loads neither torch
nor an optional dependency.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME_OF = {
    "evaluate_features": "gesture_pretrain.evaluation.features.run",
    "export_backbone": "gesture_pretrain.weights.export",
    "list_backbones": "gesture_pretrain.weights.registry",
    "load_backbone": "gesture_pretrain.weights.registry",
    "pretrain": "gesture_pretrain.pretraining.stage",
    "register_backbone": "gesture_pretrain.weights.registry",
}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"gesture_pretrain has no attribute {name!r}. It offers {__all__}.")
    try:
        return getattr(import_module(_HOME_OF[name]), name)
    except ModuleNotFoundError as error:
        from gesture_pretrain.extras import missing_extra

        raise missing_extra(error) or error from error


def __dir__() -> list[str]:
    return __all__
