"""Reading of run configs: Python files of plain sections, with overrides."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from mmengine.config import Config

from gesture_pretrain.config.kind import find_config, require_kind
from gesture_pretrain.config.override import Overrides, apply_overrides
from gesture_pretrain.files import WriteFailed, writing


def read_config(
    source: str | Path | Mapping[str, Any],
    overrides: Overrides = (),
    *,
    kind: str,
) -> dict[str, Any]:
    """Read a config and apply overrides.

    Args:
        source: Path of a Python file in mmengine's lazy style, name of a shipped config, or a
            mapping of sections.
        overrides: See `apply_overrides`.
        kind: Kind of config that is required, a key of `gesture_pretrain.config.kind.KINDS`.

    Returns:
        Nested plain dicts.

    Raises:
        FileNotFoundError: There is neither a file nor a shipped config of that name.
        ValueError: An invalid override, or a config of another kind.
    """
    if isinstance(source, Mapping):
        config = plain(source)
    else:
        path = find_config(source, kind)
        config = read_python_file(path)
        require_kind(path, config, kind)
    apply_overrides(config, overrides)
    return config


def read_python_file(path: str | Path) -> dict[str, Any]:
    """Read the values that a Python file in mmengine's lazy style defines, as nested plain dicts.

    Raises:
        ValueError: The file is not a Python file, or running it raised an error.
        DiskFull: There is no space for a temporary copy.
    """
    path = Path(path)
    if path.suffix != ".py":
        raise ValueError(f"{path} is not a config. A config is a Python file that ends in .py.")
    try:
        with writing(Path(gettempdir()), only_no_room=True):  # mmengine reads a copy of the file
            return plain(Config.fromfile(str(path)).to_dict())
    except WriteFailed:
        raise
    except Exception as error:  # the file is code, which may raise anything
        kind = type(error).__name__
        raise ValueError(f"Config {path} cannot be read: {kind}: {error}") from error


def plain(value: Any) -> Any:
    """Copy nested values with mmengine's dictionaries replaced by builtin ones."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(v) for v in value)
    return value
