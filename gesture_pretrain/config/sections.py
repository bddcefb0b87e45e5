"""Building of parts from config sections: the keys of a section are arguments of a signature.

Defaults are defined in the signatures only. An unknown key raises before anything is built, so a
misspelt override is never ignored.
"""

import inspect
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args, get_type_hints

# Arguments of a run's builder that come from the caller, not from the config.
_NOT_IN_CONFIG = ("out", "resume", "hooks", "progress", "device")


def config_sections(build: Callable) -> list[str]:
    """List the sections that a config may define: the arguments of `build`, and `tag`."""
    return [*known_keys(build, _NOT_IN_CONFIG), "tag"]


def known_keys(build: Callable, given: Mapping[str, Any] | tuple[str, ...] = ()) -> list[str]:
    """List the arguments of `build` that a section may set, without those in `given`."""
    parameters = inspect.signature(build).parameters.values()
    named = (p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return [p.name for p in named if p.name not in given and p.name != "self"]


def check_section(name: str, build: Callable, section: Mapping[str, Any], given=()) -> None:
    """Check the keys of a section and the types of its values.

    Args:
        name: Name of the section, for error messages.
        build: Function or class whose arguments are the keys of the section.
        section: Keys and values.
        given: Arguments that the code sets, which a section must not set.

    Raises:
        ValueError: A key is unknown or missing, or a value has the wrong type.
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
    """Raise ValueError for a value whose type does not match the signature."""
    hints = get_type_hints(build.__init__ if inspect.isclass(build) else build)
    for key, value in section.items():
        kinds = set(get_args(hints.get(key)) or (hints.get(key),))
        if not _is_of_kinds(value, kinds):
            allowed = " or ".join(sorted(_kind_name(kind) for kind in kinds))
            raise ValueError(f"{name}.{key} is {value!r}; it must be {allowed}.{_int_hint(value)}")


def _int_hint(value: Any) -> str:
    """Suggest an integer for a float such as 2e4."""
    is_whole = isinstance(value, float) and value.is_integer()
    return f" Write {int(value)}." if is_whole else ""


def _is_of_kinds(value: Any, kinds: set) -> bool:
    """Return whether a hint allows a value; checks numbers only, on either side."""
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
    return plain.get(kind) or getattr(kind, "__name__", "") + _type_arguments(kind)


def _type_arguments(kind: Any) -> str:
    inner = [_kind_name(k) for k in get_args(kind)]
    return f"[{', '.join(inner)}]" if inner else ""


def build_from_section(name: str, build: Callable, section: Mapping[str, Any], **given) -> Any:
    """Check the section and return `build(**given, **section)`."""
    check_section(name, build, section, given)
    return build(**given, **section)
