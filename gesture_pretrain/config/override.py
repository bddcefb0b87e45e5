"""Changes to a config from the command line: `section.key=value`.

mmengine's DictAction is not used: it removes blanks from strings and cannot write a dict.
"""

import ast
from collections.abc import Iterable, Mapping
from typing import Any

Overrides = Iterable[str] | Mapping[str, Any]

_WORDS = {"true": True, "false": False, "none": None, "null": None}
_OPENINGS = ("[", "{", "(", "dict(")


def apply_overrides(config: dict, overrides: Overrides) -> None:
    """Set dotted keys of `config` in place.

    Args:
        config: Nested sections.
        overrides: Strings of the form `section.key=value`, as typed on a command line, or a mapping
            from dotted keys to values.

    Raises:
        ValueError: An override without "=", a key inside a plain value, or a value that
            `parse_value` rejects.
    """
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            set_key(config, key, value)
        return
    for override in overrides:
        apply_override(config, override)


def apply_override(config: dict, override: str) -> None:
    """Set one dotted key of `config` in place from a string `section.key=value`.

    Raises:
        ValueError: As for `apply_overrides`.
    """
    key, sign, text = override.partition("=")
    if not sign or not key:
        raise ValueError(f"Override '{override}' is not of the form section.key=value.")
    try:
        value = parse_value(text)
    except ValueError as error:
        raise ValueError(f"Override '{override}': {error}") from error
    set_key(config, key, value)


def set_key(config: dict, key: str, value: Any) -> None:
    """Set one dotted key of nested sections in place, adding missing sections.

    Raises:
        ValueError: A parent of the key is a plain value.
    """
    *parents, last = key.split(".")
    place = config
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise ValueError(f"Override '{key}': '{parent}' is a value, not a section.")
    place[last] = value


def parse_value(text: str) -> Any:
    """Parse a value from the command line.

    Python literals and true, false and none are converted; any other text stays a string. Lists may
    contain bare words and `dict(key=value)`: `[right, left]`, `[dict(name=HaMeR, path="a.npz")]`.

    Raises:
        ValueError: The text opens a bracket but is not such a list or dict.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError):
        if not text.lstrip().startswith(_OPENINGS):
            return text
    try:
        return _value_of(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, TypeError, SyntaxError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(
            f"{reason}. Lists may contain numbers, bare words, double-quoted strings, lists and "
            "dict(key=value). Put the whole argument in single quotes, so that the shell keeps the "
            "double quotes."
        ) from error


def _value_of(node: ast.expr) -> Any:
    match node:
        case ast.Name(id=word):
            return _WORDS.get(word.lower(), word)
        case ast.List(elts=items):
            return [_value_of(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value_of(item) for item in items)
        case ast.Dict(keys=keys, values=values) if None not in keys:
            pairs = zip(keys, values, strict=True)
            return {_value_of(key): _value_of(value) for key, value in pairs}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(
            keyword.arg for keyword in keywords
        ):
            return {keyword.arg: _value_of(keyword.value) for keyword in keywords}
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ValueError(f"{ast.unparse(node)} is not a value") from error
