"""A script of tools/ as a module, with its folder importable as it is for a script."""

import importlib.util
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from types import ModuleType

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def load_tool(name: str) -> ModuleType:
    """A fresh module made from tools/NAME.py; neither it nor the folder stays in `sys`."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, str(TOOLS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOLS))
        del sys.modules[spec.name]
    return module


def refused_by(tool: ModuleType, arguments: Sequence) -> str:
    """Standard error of a tool that must end with wrong input, without a traceback."""
    with redirect_stderr(StringIO()) as captured:
        assert tool.run([str(argument) for argument in arguments]) == 1
    assert "Traceback" not in captured.getvalue()
    return captured.getvalue()
