"""Stored weights: export, registration by name, loading, and use as initial weights.

Public names are imported on first use, which keeps the import of this package cheap.
"""

from importlib import import_module

_HOME_OF = {
    "WeightsError": "errors",
    "build_starting_backbone": "starting_backbone",
    "export_backbone": "export",
    "find_backbone": "registry",
    "list_backbones": "registry",
    "load_backbone": "registry",
    "load_initial_weights": "initial_weights",
    "register_backbone": "registry",
}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    if name in _HOME_OF:
        return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"{__name__} has no attribute {name!r}. It offers {__all__}.")
