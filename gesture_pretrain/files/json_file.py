"""JSON files of unknown origin: bounded in size, and without NaN."""

import json
from pathlib import Path
from typing import Any

_LARGEST_BYTES = 1 << 28


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


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which is not a number")
