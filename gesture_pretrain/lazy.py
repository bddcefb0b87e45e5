"""Public names of a package that are imported on first use."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from gesture_pretrain.extras import missing_extra


def lazy_names(package: str, home_of: Mapping[str, str]) -> tuple[Callable[[str], Any], list[str]]:
    """Make `__getattr__` and `__all__` of a package.

    Args:
        package: Name of the package.
        home_of: Public name to the module that defines it.
    """
    names = sorted(home_of)

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"{package} has no attribute {name!r}. It offers {names}.")
        try:
            return getattr(import_module(home_of[name]), name)
        except ModuleNotFoundError as error:
            raise missing_extra(error) or error from error

    return get, names
