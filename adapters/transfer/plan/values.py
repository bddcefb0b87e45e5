"""From the plain values of a plan file to the dataclasses of `plan.py`, by their type hints.

So what a plan may hold is said once, there, and every value of another kind is named with its key.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from adapters.transfer.plan.plan import PlanError
from gesture_pretrain.names import did_you_mean

_KINDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    NoneType: "None",
    tuple: "a list",
    Mapping: "a table of keys and values",
}


def build(key: str, hint: Any, value: Any) -> Any:
    """A plain value as what a type hint says.

    Args:
        key: dotted, where the value stands in the plan, for messages; "" for the plan itself.
        hint: a dataclass, `tuple[T, ...]`, `Mapping[str, T]`, a union, `Any`, or a plain type.
        value: plain; lists become tuples, whole numbers become floats where those are wanted.

    Raises:
        PlanError: a value of another kind, an unknown or missing key, or what a dataclass refuses.
    """
    kind = get_origin(hint) or hint
    if kind is Any:
        return value
    if kind in (Union, UnionType):
        return _build_one_of(key, get_args(hint), value)
    if not _is_of_kind(kind, value):
        raise PlanError(f"{key or 'a plan'} is {value!r}; it must be {_kind_name(kind)}.")
    if is_dataclass(kind):
        return _build_dataclass(key, kind, value)
    if kind is tuple:
        return tuple(build(f"{key}[{i}]", get_args(hint)[0], v) for i, v in enumerate(value))
    if kind is Mapping:
        return {name: build(_below(key, name), get_args(hint)[1], v) for name, v in value.items()}
    return float(value) if kind is float else value


def _build_one_of(key: str, hints: tuple, value: Any) -> Any:
    fitting = [hint for hint in hints if _is_of_kind(get_origin(hint) or hint, value)]
    if not fitting:
        names = " or ".join(_kind_name(get_origin(hint) or hint) for hint in hints)
        raise PlanError(f"{key} is {value!r}; it must be {names}.")
    return build(key, fitting[0], value)


def _build_dataclass(key: str, kind: type, values: Mapping[str, Any]) -> Any:
    known = {item.name: item for item in fields(kind)}
    for name in values:
        if name not in known:
            raise PlanError(
                f"Unknown key {_below(key, name)}.{did_you_mean(name, known)} "
                f"Known: {', '.join(known)}."
            )
    for name, item in known.items():
        if name not in values and item.default is item.default_factory is MISSING:
            raise PlanError(f"{_below(key, name)} is required.")
    hints = get_type_hints(kind)
    built = {name: build(_below(key, name), hints[name], v) for name, v in values.items()}
    try:
        return kind(**built)
    except PlanError as error:
        raise PlanError(f"{key}: {error}") from error


def _is_of_kind(kind: type, value: Any) -> bool:
    if kind is Mapping or is_dataclass(kind):
        return isinstance(value, Mapping)
    if kind is tuple:
        return isinstance(value, list | tuple)
    if kind in (int, float):
        number = Integral if kind is int else Real
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, kind)


def _kind_name(kind: type) -> str:
    return _KINDS[Mapping if is_dataclass(kind) else kind]


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
