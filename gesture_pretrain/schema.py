"""Checks of plain data against types, with one sentence per fault: place, value, what is allowed.

pydantic does the checking. Its own error lists every branch of a union on a separate line, and
does not list the known keys.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import lru_cache, wraps
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from gesture_pretrain.names import did_you_mean
from gesture_pretrain.plain_data import plain_data

T = TypeVar("T")
Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]

# Strings do not become numbers, and unknown keys are errors. Set as `__pydantic_config__`.
STRICT = {"extra": "forbid", "strict": True}
# For classes that Python code constructs too: lists become tuples, whole numbers become floats.
KNOWN_KEYS = {"extra": "forbid", "arbitrary_types_allowed": True}

_FAULTS_NAMED = 3
_PLAIN_WORDS = {
    " after validation, not 0": "",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
    "a valid integer": "an integer",
    "a valid number": "a number",
    "a valid string": "a string",
    "a valid boolean": "true or false",
    "a valid array": "a list",
    "an object": "a dict of keys and values",
}
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")


def section(kind: type) -> type:
    """Make a class a frozen dataclass that checks its values, also where Python constructs it."""
    made = dataclass(frozen=True, config=KNOWN_KEYS)(kind)
    construct = made.__init__

    @wraps(construct)
    def checked(self, *values, **named):
        names = list(made.__dataclass_fields__)
        if len(values) > len(names):
            raise TypeError(f"{kind.__name__} takes {len(names)} arguments, got {len(values)}.")
        named |= zip(names, values, strict=False)
        try:
            construct(self, **named)
        except ValidationError as faults:
            raise ValueError(_listed(_describe(faults, made, named, ()))) from None

    made.__init__ = checked
    return made


def validated(
    kind: type[T],
    values: Any,
    source: str = "",
    error: type[ValueError] = ValueError,
    *,
    place: tuple[str, ...] = (),
) -> T:
    """Check plain data against a type, and build the object that it describes.

    Args:
        kind: A dataclass, a typed dict, or any other type that pydantic can check.
        values: Plain data; tuples and paths are converted to lists and text.
        source: File, for messages.
        error: Class of the error to raise.
        place: Keys under which the values are found, for messages.

    Raises:
        error: A key is unknown or missing, or a value has the wrong type or range. The first faults
            are named with their place.
    """
    prefix = f"{source}: " if source else ""
    try:
        plain = plain_data(values, ".".join(place), paths_as_text=True)
        return _adapter(kind).validate_json(json.dumps(plain), strict=True)
    except ValidationError as faults:
        described = _describe(faults, kind, plain, place)
    except RecursionError:
        described = ["The data are nested too deeply."]
    except ValueError as fault:
        described = [str(fault)]
    raise error(prefix + _listed(described))


def _listed(sentences: Sequence[str]) -> str:
    more = len(sentences) - _FAULTS_NAMED
    return " ".join(sentences[:_FAULTS_NAMED]) + (f" And {more} more." if more > 0 else "")


@lru_cache
def _adapter(kind: type) -> TypeAdapter:
    return TypeAdapter(kind)


def _describe(faults: ValidationError, kind: type, values: Any, above: tuple) -> list[str]:
    """Describe faults, one sentence per place: the branches of a union share theirs."""
    by_place: dict[tuple, list[dict]] = {}
    for fault in faults.errors(include_url=False):
        if fault["type"] != "too_short" or len(fault["input"]) < fault["ctx"]["min_length"]:
            by_place.setdefault(_place(fault, values), []).append(fault)
    return [_sentence(place, found, kind, above) for place, found in by_place.items()]


def _place(fault: dict, values: Any) -> tuple:
    """Return the keys that lead to a fault, without pydantic's names of a union's branches."""
    place = []
    for key in fault["loc"]:
        if fault["type"] in _MISSING and key == fault["loc"][-1]:
            return (*place, key)
        is_there = (isinstance(values, dict) and key in values) or (
            isinstance(values, list) and isinstance(key, int)
        )
        if not is_there:
            break
        values = values[key]
        place.append(key)
    return tuple(place)


def _sentence(place: tuple, faults: Sequence[dict], kind: type, above: tuple) -> str:
    where, fault = _dotted((*above, *place)), faults[0]
    if fault["type"] in _UNKNOWN:
        known = _keys_at(kind, place[:-1])
        near = did_you_mean(place[-1], known)
        return f"Unknown key {where}.{near} Known: {', '.join(known)}."
    if fault["type"] in _MISSING:
        return f"{where} is required."
    if fault["type"] == "value_error":
        said = fault["msg"].removeprefix("Value error, ")
        return f"{where}: {said}" if where else said
    allowed = " or ".join(dict.fromkeys(_allowed(fault) for fault in faults)).replace("or be", "or")
    value = repr(fault["input"])
    shown = value if len(value) <= 60 else f"{value[:60]}…"
    near = did_you_mean(fault["input"], re.findall(r"'([^']*)'", allowed))
    return f"{where or 'The whole'} is {shown}; it must {allowed}.{near}"


def _allowed(fault: dict) -> str:
    """Return what would be allowed, the end of pydantic's message: `be an integer`."""
    said = fault["msg"]
    for phrase, plain in _PLAIN_WORDS.items():
        said = said.replace(phrase, plain)
    return re.sub(r"^\w+ should ", "", said)


def _dotted(place: tuple) -> str:
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return "".join(parts).removeprefix(".")


def _keys_at(kind: Any, place: Sequence) -> list[str]:
    """List the keys of the dataclass or typed dict at a place inside a type."""
    for key in place:
        kind = _part(kind, key)
    kind = _required(kind)
    return list(get_type_hints(kind)) if _has_keys(kind) else []


def _part(kind: Any, key: Any) -> Any:
    kind = _required(kind)
    if _has_keys(kind):
        return get_type_hints(kind).get(key, Any)
    origin, arguments = get_origin(kind), get_args(kind)
    if not isinstance(origin, type) or not arguments:
        return Any
    return arguments[-1 if issubclass(origin, Mapping) else 0]


def _has_keys(kind: Any) -> bool:
    return is_dataclass(kind) or hasattr(kind, "__required_keys__")  # of a typed dict


def _required(kind: Any) -> Any:
    """Return X of `X | None`."""
    others = [argument for argument in get_args(kind) if argument is not NoneType]
    return others[0] if NoneType in get_args(kind) and len(others) == 1 else kind
