"""Plan files: Python files of plain values in mmengine's lazy style (`configs/experiments`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.transfer.plan.checks import check_plan
from adapters.transfer.plan.plan import Plan, PlanError
from gesture_pretrain.config.file import plain, read_python_file
from gesture_pretrain.config.kind import find_config, require_kind
from gesture_pretrain.config.override import Overrides, apply_overrides, set_key
from gesture_pretrain.schema import validated


def read_plan(
    source: str | Path | Mapping[str, Any],
    overrides: Overrides = (),
    *,
    index: str | Path | None = None,
) -> Plan:
    """Read and check a plan file.

    Args:
        source: Path of a Python file of plain values, the name of a shipped plan, or the values
            themselves.
        overrides: Changes to the file's values, see `apply_overrides`.
        index: Index, or dataset that contains one. Default: `data.index` of the plan.

    Raises:
        FileNotFoundError: There is no such file or plan.
        PlanError: A value is impossible; names the key.
        ValueError: A config of another kind, or an invalid override.
    """
    if isinstance(source, Mapping):
        values, name = plain(source), "study"
    else:
        path = find_config(source, "experiments")
        values, name = read_python_file(path), path.stem
        require_kind(path, values, "experiments")
    apply_overrides(values, overrides)
    if index is not None:
        set_key(values, "data.index", str(index))
    values.setdefault("name", name)
    return plan_from(values)


def plan_from(values: Mapping[str, Any]) -> Plan:
    """Check plain values and return them as a plan.

    Raises:
        PlanError: An unknown or missing key, an impossible value, or contradictory values; names
            the key.
    """
    plan = validated(Plan, values, error=PlanError)
    check_plan(plan)
    return plan
