"""Config sections: the keys of a section are the arguments of a function, or a dataclass's fields.

Defaults are defined there only. An unknown key or a value of the wrong type raises before anything
is built, so a misspelt override is never ignored.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

from typing_extensions import NotRequired, Required, TypedDict  # pydantic asks for it below 3.12

from gesture_pretrain.schema import KNOWN_KEYS, validated

T = TypeVar("T")


def arguments_of(build: Callable, *given: str) -> type:
    """Make the type of a section that holds arguments of `build`.

    Args:
        build: Function or class. Where it takes any keyword, so does the section.
        given: Arguments that the code passes, which a section must not set.
    """
    hints = get_type_hints(build.__init__ if inspect.isclass(build) else build, include_extras=True)
    keys, config = {}, dict(KNOWN_KEYS)
    for parameter in inspect.signature(build).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            config["extra"] = "allow"
        elif parameter.kind is not parameter.VAR_POSITIONAL and parameter.name not in given:
            need = Required if parameter.default is parameter.empty else NotRequired
            keys[parameter.name] = need[hints.get(parameter.name, Any)]
    section = TypedDict(getattr(build, "__name__", "Section"), keys)
    section.__pydantic_config__ = config
    return section


def read_sections(kind: type[T], sections: Mapping[str, Any]) -> T:
    """Check the sections of a config; None stands for a section's defaults.

    Args:
        kind: Dataclass with a field for each section.
        sections: Section name to keys and values.

    Raises:
        ValueError: A section or key is unknown or missing, or a value is invalid.
    """
    return validated(kind, {name: value for name, value in sections.items() if value is not None})


def check_section(
    name: str, build: Callable, section: Mapping[str, Any], given: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Check one section, see `arguments_of`, and return its values.

    Args:
        name: Name of the section, for messages.
        build: Function or class whose arguments are the keys of the section.
        section: Keys and values.
        given: Arguments that the code sets, which a section must not set.

    Raises:
        ValueError: A key is unknown or missing, or a value has the wrong type.
    """
    return validated(arguments_of(build, *given), section, place=(name,))
