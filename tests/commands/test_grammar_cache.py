"""The first import of yapf by several processes, on the real library."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gesture_pretrain.commands import grammar_cache

IN_TURN = """
from gesture_pretrain.commands.grammar_cache import import_yapf_in_turn
import_yapf_in_turn()
"""
# yapf renames the grammar's file before its last buffer is written: here, until the test says so.
WRITE_LATE = """
import os, time
rename = os.rename
def rename_and_wait(*names):
    rename(*names)
    while "PatternGrammar" in names[1] and not os.path.exists({go!r}):
        time.sleep(0.01)
os.rename = rename_and_wait
"""


def start(code: str, cache: Path) -> subprocess.Popen:
    env = os.environ | {"XDG_CACHE_HOME": str(cache), "WORLD_SIZE": "2"}
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, env=env)


def import_twice(code: str, cache: Path, *, patience_s: float) -> list[str]:
    """Start a second process while the first one is writing its grammar; returns their errors."""
    first = start(WRITE_LATE.format(go=str(cache / "go")) + code, cache)
    name = f"PatternGrammar-py{'.'.join(map(str, sys.version_info))}.pickle"
    while first.poll() is None and not list(cache.glob(f"YAPF/*/{name}")):
        time.sleep(0.01)
    second = start(code, cache)
    try:
        second.wait(patience_s)
    except subprocess.TimeoutExpired:
        pass
    (cache / "go").touch()
    return [process.communicate()[1].decode() for process in (first, second)]


@pytest.mark.skipif(sys.platform != "linux", reason="the cache's place is set as on Linux")
def test_several_processes_can_import_yapf_for_the_first_time(tmp_path):
    """Regression: torchrun on a new machine ended with EOFError in one of its processes."""
    _, alone = import_twice("import yapf", tmp_path / "alone", patience_s=60)
    assert "EOFError" in alone  # once yapf no longer fails, delete grammar_cache.py
    assert import_twice(IN_TURN, tmp_path / "in_turn", patience_s=3) == ["", ""]


@pytest.mark.parametrize("world_size", [None, "1"])
def test_a_single_process_imports_nothing(world_size, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if world_size is not None:
        monkeypatch.setenv("WORLD_SIZE", world_size)
    monkeypatch.setattr(grammar_cache, "_lock", lambda: pytest.fail("imported yapf"))
    grammar_cache.import_yapf_in_turn()


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    grammar_cache.import_yapf_in_turn()
