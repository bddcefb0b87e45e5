"""Values that JSON can hold: dicts with string keys, lists, strings, finite numbers, bool, None."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plain_data(value: Any, place: str, *, paths_as_text: bool = False) -> Any:
    """`value` if it is plain data; tuples become lists.

    Args:
        value: Anything, nested or not.
        place: What it is, for messages; the place inside it is added.
        paths_as_text: Write a path as its text; else it is refused, since it would not come back
            as a path.

    Raises:
        ValueError: A value that JSON cannot hold, or a key that is no string; names the place.
    """
    if isinstance(value, Mapping):
        if bad := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"{place} has the key {bad[0]!r}; JSON knows only strings as keys")
        return {
            key: plain_data(entry, f"{place}.{key}", paths_as_text=paths_as_text)
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
        f"{place} is {value!r} ({type(value).__name__}); a card holds dicts, lists, strings, "
        "finite numbers, booleans and None. Leave a value out where it is not known."
    )
