"""Names in error messages: unknown ones, and long lists of them."""

import difflib
from collections.abc import Collection, Sequence
from typing import Any


def did_you_mean(name: Any, known: Collection[Any]) -> str:
    """ " Did you mean 'near'?" with a blank before it, or "" where no known name is near."""
    names = [other for other in known if isinstance(other, str)]
    near = difflib.get_close_matches(str(name), names, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def require_choice(key: str, value: Any, choices: Collection[Any]) -> None:
    """Raises ValueError where a value is not one of the choices; names the key and the near one."""
    if value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        near = did_you_mean(value, choices)
        raise ValueError(f"{key} is {value!r}; possible: {listed}.{near}")


def first_few(names: Sequence[str], limit: int = 8) -> str:
    """List the first names, followed by the number of the others."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + more
