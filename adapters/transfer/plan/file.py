"""Plan files: Python files of plain values in mmengine's lazy style (`configs/experiments`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.transfer.plan.checks import check_plan
from adapters.transfer.plan.plan import Plan
from adapters.transfer.plan.values import build
from gesture_pretrain.config.file import read_python_file
from gesture_pretrain.config.kind import find_config, require_kind
from gesture_pretrain.config.override import Overrides, apply_overrides


def read_plan(source: str | Path | Mapping[str, Any], overrides: Overrides = ()) -> Plan:
    """Reads and checks a plan file.

    Args:
        source: Path of a Python file of plain values, the name of a shipped
            plan, or the values themselves.
        overrides: Changes to the file's values, see `apply_overrides`.

    Raises:
        FileNotFoundError: no such file.
        PlanError: something in it cannot be; names the key.
        ValueError: a config of another kind, or an override that cannot be.
    """
    if isinstance(source, Mapping):
        values, name = _plain(source), "study"
    else:
        path = find_config(source, "experiments")
        values, name = _plain(read_python_file(path)), path.stem
        require_kind(path, values, "experiments")
    apply_overrides(values, overrides)
    values.setdefault("name", name)
    return plan_from(values)


def plan_from(values: Mapping[str, Any]) -> Plan:
    """A plan from plain values, checked.

    Raises:
        PlanError: an unknown or missing key, a value that cannot be, or values that do not go
            together; names the key.
    """
    plan = build("", Plan, values)
    check_plan(plan)
    return plan


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
