"""A stand-in for `mmcv.ops`, the compiled half of mmcv that `mmcv-lite` does not have.

Importing `mmpose.models` imports names from `mmcv.ops`, used or not. The stand-in lets the import
pass: every name is a class that raises when it is used. It is put in place only when asked for,
never over the real module, and holds for this process.
"""

import importlib.util
import sys
import warnings
from types import ModuleType

from torch import nn

NAME = "mmcv.ops"


class OpsStandIn(ModuleType):
    """A module whose attributes are all unusable classes."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        stand_in = _unusable(name)
        setattr(self, name, stand_in)
        return stand_in


def has_compiled_ops() -> bool:
    """Return whether mmcv is installed with its compiled operations."""
    return importlib.util.find_spec("mmcv._ext") is not None


def put_stand_in() -> bool:
    """Put the stand-in into `sys.modules` if the compiled operations are missing, with a warning.

    Returns:
        Whether a stand-in is in place now.

    Raises:
        ImportError: mmcv is not installed at all.
    """
    if isinstance(sys.modules.get(NAME), OpsStandIn):
        return True
    if has_compiled_ops():
        return False
    import mmcv

    stand_in = OpsStandIn(NAME, "Stand-in: every name is a class that raises when it is used.")
    sys.modules[NAME] = mmcv.ops = stand_in
    warnings.warn(
        "mmcv has no compiled operations here (mmcv-lite); mmcv.ops is a stand-in for this process "
        "whose classes raise ImportError when used",
        stacklevel=2,
    )
    return True


def _unusable(name: str) -> type:
    def refuse(self, *args, **kwargs):
        raise ImportError(
            f"mmcv.ops.{name} is needed here, but this mmcv has no compiled operations and "
            "mmcv.ops is a stand-in. Install mmcv instead of mmcv-lite: mim install 'mmcv>=2.0'."
        )

    return type(name, (nn.Module,), {"__init__": refuse, "__module__": NAME})
