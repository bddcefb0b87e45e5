"""Names in error messages: unknown ones, and long lists of them."""

import difflib
from collections.abc import Collection, Sequence
from typing import Any


def did_you_mean(name: Any, known: Collection[Any]) -> str:
    """Suggest the most similar name, as a sentence after a space; "" if none is similar."""
    names = [other for other in known if isinstance(other, str)]
    near = difflib.get_close_matches(str(name), names, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def require_choice(key: str, value: Any, choices: Collection[Any]) -> None:
    """Raise ValueError, which names the key, unless a value is one of the choices."""
    if value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        near = did_you_mean(value, choices)
        raise ValueError(f"{key} is {value!r}; possible: {listed}.{near}")


def first_few(names: Sequence[str], limit: int = 8) -> str:
    """List the first names, followed by the number of the others."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + more
