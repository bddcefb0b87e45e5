"""tools/benchmark.py: which benchmarks there are, what `all` runs, what each says of itself."""

import sys
from types import SimpleNamespace

import pytest
from tool_module import load_tool


@pytest.fixture
def tool(repo_root, monkeypatch):
    monkeypatch.syspath_prepend(str(repo_root / "tools"))
    return load_tool("benchmark")


@pytest.fixture
def ran(tool, monkeypatch) -> list:
    """(module, options) of what is run, instead of running it."""
    calls = []

    def stand_in(name):
        return SimpleNamespace(main=lambda options: calls.append((name, options)))

    monkeypatch.setattr(tool, "import_module", stand_in)
    return calls


def test_all_runs_every_benchmark_with_its_defaults(tool, ran):
    tool.main(["all"])
    assert ran == [(f"benchmarks.{name}", []) for name in tool.names()]
    assert {"index", "loader", "step", "token_fusion", "eanet"} <= set(tool.names())
    assert "chart" not in tool.names()


def test_options_go_to_one_benchmark_and_not_to_all(tool, ran):
    tool.main(["metrics", "--runs", "1"])
    assert ran == [("benchmarks.metrics", ["--runs", "1"])]
    with pytest.raises(SystemExit, match="`all` takes no options, got --json x"):
        tool.main(["all", "--json", "x"])
    with pytest.raises(SystemExit, match="Unknown benchmark 'speed'. Known: eanet, "):
        tool.main(["speed"])
    assert len(ran) == 1


def test_help_of_each(tool, capsys):
    for name in tool.names():
        with pytest.raises(SystemExit) as ended:
            tool.main([name, "--help"])
        said = capsys.readouterr().out
        assert ended.value.code == 0 and f"benchmark.py {name} " in said and "--json" in said
        assert sys.modules[f"benchmarks.{name}"].__doc__.split()[0] in said
