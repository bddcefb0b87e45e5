"""The config of a run: a Python file of plain sections, with overrides from the command line."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError

from gesture_pretrain.config.override import apply_override
from gesture_pretrain.config.reader import require_reader
from gesture_pretrain.pretraining.run import build_runner, check_sections

# Arguments of `build_runner` that the command line gives, not the config.
_NOT_IN_CONFIG = ("out", "resume", "hooks", "progress", "device")


def config_sections(build: Callable = build_runner) -> list[str]:
    """Names that a config may define: arguments of what builds the run, and `tag`."""
    arguments = inspect.signature(build).parameters
    return [name for name in arguments if name not in _NOT_IN_CONFIG] + ["tag"]


def check_config(config: Mapping[str, Any]) -> None:
    """Raises for the first unknown section or key of a pretraining config, naming the known."""
    require_sections(config, config_sections(), required=("data", "backbone"))
    check_sections(
        **{k: v for k, v in config.items() if k not in ("seed", "tag") and v is not None}
    )


def require_sections(
    config: Mapping[str, Any], known: Iterable[str], *, required: Iterable[str]
) -> None:
    """Raises ValueError for a section that is not known, or a required one that is missing."""
    for name in config:
        if name not in known:
            raise ValueError(f"Unknown section or key '{name}'. Known: {', '.join(known)}.")
    for name in required:
        if name not in config:
            raise ValueError(f"The config has no section '{name}', which is required.")


def read_config(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    check: Callable[[Mapping[str, Any]], None] = check_config,
    tool: str | None = None,
) -> dict[str, Any]:
    """Reads a config and applies `key=value` overrides.

    Args:
        path: a Python file in mmengine's lazy style.
        overrides: `section.key=value`, or `seed=…` and `tag=…`; for values see `parse_value`.
        check: raises for a config that the kind of run does not know.
        tool: the command that reads it, such as "tools/train.py"; a config that is plainly another
            command's is refused with that one's name.

    Returns:
        Nested plain dicts, all of whose sections and keys are known.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown section or key, an override that cannot be, or a config of another
            tool.
    """
    config = _plain(read_python_file(path, "config"))
    if tool is not None:
        require_reader(path, config, tool)
    for override in overrides:
        apply_override(config, override)
    check(config)
    return config


def read_python_file(path: str | Path, kind: str) -> dict[str, Any]:
    """What a Python file of values in mmengine's lazy style defines.

    Args:
        path: the file.
        kind: what it is called in a message, such as "config".

    Raises:
        FileNotFoundError: no such file; names those beside it.
        ValueError: it is no Python file, or cannot be read as one; names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No {kind} {path}.{_where_to_look(path)}")
    if path.suffix != ".py":
        raise ValueError(f"{path} is no {kind}: that is a Python file and ends in .py.")
    try:
        return Config.fromfile(str(path)).to_dict()
    except (SyntaxError, NameError, TypeError, AttributeError, ConfigParsingError) as error:
        raise ValueError(f"{kind} {path} cannot be read: {error}") from error


def write_config(config: Mapping[str, Any]) -> str:
    """The config as Python source that `read_config` reads back to the same values."""
    return Config(dict(config)).pretty_text


def _plain(value: Any) -> Any:
    """mmengine's dictionaries and tuples as the builtin ones."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(v) for v in value)
    return value


def _where_to_look(path: Path) -> str:
    namesakes = sorted(str(p) for p in Path("configs").glob(f"*/{path.stem}.py"))
    if namesakes:
        return f" Did you mean {' or '.join(namesakes)}?"
    beside = sorted(str(p) for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
    if not beside or path.parent == Path("."):  # the checkout's own files are no configs
        return " The configs that ship are in configs/pretrain, configs/pose, configs/experiments."
    return f" In that folder: {', '.join(beside)}."
