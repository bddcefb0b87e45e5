"""From a config section (a plain dict) to a part: its keys are the arguments of a signature.

Defaults live in the signatures alone. A key that the signature does not know raises before
anything is built, so that a misspelt override cannot be ignored.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints


def known_keys(build: Callable, given: Mapping[str, Any] | tuple[str, ...] = ()) -> list[str]:
    """Names of the arguments of `build` that a section may set; `given` ones are set by code."""
    parameters = inspect.signature(build).parameters.values()
    named = (p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return [p.name for p in named if p.name not in given and p.name != "self"]


def check_section(name: str, build: Callable, section: Mapping[str, Any], given=()) -> None:
    """Raises for a key that `build` does not take or a required one that is missing.

    Args:
        name: the section's name, used in the message.
        build: function or class that the section's keys are arguments of.
        section: the keys and values.
        given: arguments that code passes, which a section may not set.

    Raises:
        ValueError: names the key and the known keys, or the key that is a word and not a number.
    """
    if not isinstance(section, Mapping):
        raise ValueError(f"Section '{name}' must be a dict of keys and values, got {section!r}.")
    known = known_keys(build, given)
    for key in section:
        if key not in known:
            raise ValueError(f"Unknown key {name}.{key}. Known keys of {name}: {', '.join(known)}.")
    _refuse_words_for_numbers(name, build, section)
    parameters = inspect.signature(build).parameters
    for key in known:
        if parameters[key].default is inspect.Parameter.empty and key not in section:
            raise ValueError(f"{name}.{key} is required. Set it in the config or by {name}.{key}=…")


def _refuse_words_for_numbers(name: str, build: Callable, section: Mapping[str, Any]) -> None:
    """A word where the signature wants numbers, such as schedule.epochs=x on a command line."""
    hints = get_type_hints(build.__init__ if inspect.isclass(build) else build)
    for key, value in section.items():
        kinds = set(get_args(hints.get(key)) or (hints.get(key),))
        if isinstance(value, str) and kinds <= {int, float, bool, type(None)}:
            wanted = " or ".join(sorted({"None" if k is type(None) else k.__name__ for k in kinds}))
            raise ValueError(f"{name}.{key} is {value!r}; it must be {wanted}.")


def build_from_section(name: str, build: Callable, section: Mapping[str, Any], **given) -> Any:
    """Checks the section, then returns `build(**given, **section)`."""
    check_section(name, build, section, given)
    return build(**given, **section)
