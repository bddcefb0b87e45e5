"""Plan files: Python files of plain values in mmengine's lazy style (`configs/experiments`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.transfer.plan.checks import check_plan
from adapters.transfer.plan.plan import Plan
from adapters.transfer.plan.values import build
from gesture_pretrain.config.file import read_python_file
from gesture_pretrain.config.override import apply_override
from gesture_pretrain.config.reader import require_reader


def read_plan(path: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """Reads and checks a plan file.

    Args:
        path: a Python file of plain values.
        overrides: `key.key=value`, applied to the file's values; see `parse_value`.

    Raises:
        FileNotFoundError: no such file.
        PlanError: something in it cannot be; names the key.
        ValueError: it is a config of another tool, or an override that cannot be.
    """
    path = Path(path)
    values = _plain(read_python_file(path, "plan"))
    require_reader(path, values, "tools/transfer_experiment.py")
    for override in overrides:
        apply_override(values, override)
    values.setdefault("name", path.stem)
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
