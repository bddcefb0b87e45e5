"""JSON files of unknown origin: bounded in size, without NaN, and checked against a schema."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

# Strings do not become numbers, and unknown keys are errors. Set as `__pydantic_config__`.
STRICT = {"extra": "forbid", "strict": True}

_LARGEST_BYTES = 1 << 28
_FAULTS_NAMED = 3


def read_json(
    path: Path, error: type[ValueError], *, largest_bytes: int = _LARGEST_BYTES, remedy: str = ""
) -> Any:
    """Parse a JSON file.

    Args:
        path: The file.
        error: Class of the error to raise.
        largest_bytes: Refuse larger files before reading them.
        remedy: What to do about a damaged file, a sentence.

    Raises:
        error: The file is missing, not a regular file, too large, or not JSON.
    """
    if not path.is_file():
        raise error(f"{path} does not exist or is not a file.")
    size = path.stat().st_size
    if size > largest_bytes:
        raise error(f"{path} has {size:,} bytes; at most {largest_bytes:,} are read. {remedy}")
    return parse_json(path.read_bytes(), str(path), error, remedy=remedy)


def parse_json(text: str | bytes, source: str, error: type[ValueError], *, remedy: str = "") -> Any:
    """Parse JSON text; NaN and Infinity are refused. Raises `error`, naming `source`."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise error(f"{source}: not JSON that can be read (nested too deeply). {remedy}") from None
    except ValueError as fault:  # JSONDecodeError, UnicodeDecodeError, very long integers
        raise error(f"{source}: not JSON ({fault}). {remedy}") from None


def validated(kind: type[T], values: Any, source: str, error: type[ValueError]) -> T:
    """Check plain data against a schema, and build the object that it describes.

    Args:
        kind: A dataclass, or any other type that pydantic can check.
        values: Parsed JSON.
        source: File, for messages.
        error: Class of the error to raise.

    Raises:
        error: A key is unknown or missing, or a value has the wrong type or range. The first faults
            are named with their place in the file.
    """
    try:
        text = json.dumps(values, allow_nan=False)
    except ValueError:
        raise error(f"{source}: it holds a number beyond the range of floats.") from None
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as faults:
        found = faults.errors(include_url=False)
        listed = "; ".join(_describe(fault) for fault in found[:_FAULTS_NAMED])
        more = f"; and {len(found) - _FAULTS_NAMED} more" if len(found) > _FAULTS_NAMED else ""
        raise error(f"{source}: {listed}{more}.") from None


def _describe(fault: dict) -> str:
    place = ".".join(map(str, fault["loc"])) or "the whole"
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {place!r}"
    if fault["type"] in ("missing", "missing_argument"):
        return f"{place!r} is missing"
    value = repr(fault["input"])
    shown = value if len(value) <= 60 else f"{value[:60]}…"
    return f"{place} is {shown}: {fault['msg'].removeprefix('Value error, ')}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which is not a number")
