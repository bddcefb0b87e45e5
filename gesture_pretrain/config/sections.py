"""From a config section (a plain dict) to a part: its keys are the arguments of a signature.

Defaults live in the signatures alone. A key that the signature does not know raises before
anything is built, so that a misspelt override cannot be ignored.
"""

import inspect
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args, get_type_hints

# Arguments of a run's builder that the caller gives, not the config.
_NOT_IN_CONFIG = ("out", "resume", "hooks", "progress", "device")


def config_sections(build: Callable) -> list[str]:
    """Names that a config may define: arguments of what builds the run, and `tag`."""
    return [*known_keys(build, _NOT_IN_CONFIG), "tag"]


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
        ValueError: names the key and the known keys, or the key whose value is of another kind.
    """
    if not isinstance(section, Mapping):
        raise ValueError(f"Section '{name}' must be a dict of keys and values, got {section!r}.")
    known = known_keys(build, given)
    for key in section:
        if key not in known:
            raise ValueError(f"Unknown key {name}.{key}. Known keys of {name}: {', '.join(known)}.")
    _refuse_wrong_kinds(name, build, section)
    parameters = inspect.signature(build).parameters
    for key in known:
        if parameters[key].default is inspect.Parameter.empty and key not in section:
            raise ValueError(f"{name}.{key} is required. Set it in the config or by {name}.{key}=…")


def _refuse_wrong_kinds(name: str, build: Callable, section: Mapping[str, Any]) -> None:
    """A word or None where the signature wants numbers, a number where it wants anything else."""
    hints = get_type_hints(build.__init__ if inspect.isclass(build) else build)
    for key, value in section.items():
        kinds = set(get_args(hints.get(key)) or (hints.get(key),))
        if not _is_of_kinds(value, kinds):
            wanted = " or ".join(sorted(_kind_name(kind) for kind in kinds))
            raise ValueError(f"{name}.{key} is {value!r}; it must be {wanted}.{_instead(value)}")


def _instead(value: Any) -> str:
    """How to write 2e4, which is a float, where a whole number is wanted."""
    is_whole = isinstance(value, float) and value.is_integer()
    return f" Write {int(value)}." if is_whole else ""


def _is_of_kinds(value: Any, kinds: set) -> bool:
    """Whether a hint allows a value; asked of numbers, and of all values where it wants numbers."""
    if Any in kinds or None in kinds:
        return True
    if isinstance(value, Integral):
        return bool(kinds & {int, float} or (bool in kinds and value in (0, 1)))
    if isinstance(value, Real):
        return float in kinds
    if not kinds <= {int, float, bool, type(None)}:
        return True
    return value is None and type(None) in kinds


def _kind_name(kind: Any) -> str:
    plain = {type(None): "None", Path: "path"}
    return plain.get(kind) or getattr(kind, "__name__", "") + _arguments_of(kind)


def _arguments_of(kind: Any) -> str:
    inner = [_kind_name(k) for k in get_args(kind)]
    return f"[{', '.join(inner)}]" if inner else ""


def build_from_section(name: str, build: Callable, section: Mapping[str, Any], **given) -> Any:
    """Checks the section, then returns `build(**given, **section)`."""
    check_section(name, build, section, given)
    return build(**given, **section)
