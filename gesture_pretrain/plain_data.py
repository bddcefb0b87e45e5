"""Plain JSON data: dicts with string keys, lists, strings, finite numbers, bool, None."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plain_data(value: Any, place: str, *, paths_as_text: bool = False) -> Any:
    """Check that a value is plain data, and convert tuples to lists.

    Args:
        value: Possibly nested value.
        place: Name of the value for error messages, to which the location inside it is added.
        paths_as_text: Convert paths to strings instead of rejecting them.

    Raises:
        ValueError: JSON cannot represent a value, or a key is not a string.
    """
    if isinstance(value, Mapping):
        if bad := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"{place} has the key {bad[0]!r}; JSON keys must be strings")
        return {
            key: plain_data(entry, f"{place}.{key}" if place else key, paths_as_text=paths_as_text)
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            plain_data(entry, f"{place}[{i}]", paths_as_text=paths_as_text)
            for i, entry in enumerate(value)
        ]
    if paths_as_text and isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(
        f"{place} is {value!r} ({type(value).__name__}). Allowed are dicts, lists, strings, finite "
        "numbers, booleans and None. Leave out unknown values."
    )
