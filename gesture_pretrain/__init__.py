"""Gesture-aware backbone pretraining for 3D hand pose.

The four functions below are all that another code base needs; they are imported on first use, so
that reading an index or a taxonomy does not load torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME_OF = {
    "load_backbone": "gesture_pretrain.weights.registry",
    "list_backbones": "gesture_pretrain.weights.registry",
    "register_backbone": "gesture_pretrain.weights.registry",
    "export_backbone": "gesture_pretrain.weights.export",
}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str):
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"gesture_pretrain has no attribute {name!r}. It offers {__all__}.")


def __dir__() -> list[str]:
    return __all__
