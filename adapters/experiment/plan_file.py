"""Plan files: Python files of plain values in mmengine's lazy style (`configs/experiments`)."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from adapters.experiment.plan import (
    Arm,
    Comparison,
    Diagnostics,
    External,
    Plan,
    PlanError,
    Planning,
    Target,
    TestImages,
)
from gesture_pretrain.training.config_file import read_python_file
from gesture_pretrain.training.config_reader import require_reader
from gesture_pretrain.training.override import apply_override
from gesture_pretrain.training.sections import check_section


def read_plan(path: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Reads and checks a plan file.

    Args:
        path: a Python file of plain values.
        overrides: `key.key=value`, applied to the file's values.

    Raises:
        FileNotFoundError: no such file.
        PlanError: something in it cannot be; names the place.
        ValueError: it is a config of another tool.
    """
    path = Path(path)
    values = _plain(read_python_file(path, "plan"))
    require_reader(path, values, "tools/transfer_experiment.py")
    for override in overrides:
        apply_override(values, override)
    values.setdefault("name", path.stem)
    return plan_from(values)


def plan_from(values: Mapping[str, Any]) -> Plan:
    """A plan from plain values.

    Raises:
        PlanError: an unknown or missing key, or values that do not go together.
    """
    values = dict(values)
    known = [item.name for item in fields(Plan)]
    for key in values:
        if key not in known:
            raise PlanError(f"Unknown key '{key}' of a plan. Known: {', '.join(known)}.")
    _section("plan", Plan, values)
    for key, kind in (("arms", Arm), ("targets", Target)):
        values[key] = {
            name: _section(f"{key}.{name}", kind, content, build=True)
            for name, content in values[key].items()
        }
    for key, kind in (("comparisons", Comparison), ("external", External)):
        values[key] = tuple(
            _section(f"{key}[{i}]", kind, content, build=True)
            for i, content in enumerate(values.get(key, ()))
        )
    for key, kind in (("test", TestImages), ("planning", Planning)):
        values[key] = _section(key, kind, values.get(key, {}), build=True)
    if values.get("diagnostics") is not None:
        values["diagnostics"] = _section(
            "diagnostics", Diagnostics, values["diagnostics"], build=True
        )
    for key in ("seeds", "fractions", "protocols", "allowed_leaks"):
        if key in values:
            values[key] = tuple(values[key])
    return Plan(**values)


def _section(place: str, kind, content, *, build: bool = False):
    try:
        check_section(place, kind, content)
        if build:
            lists = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
            return kind(**lists)
    except ValueError as error:
        raise PlanError(f"{place}: {error}") from error
    return content


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
