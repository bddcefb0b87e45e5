"""The benchmark command: which benchmarks there are, what `all` runs, what each says of itself."""

from types import SimpleNamespace

import pytest

from gesture_pretrain.commands import benchmark
from gesture_pretrain.commands.main import run_commands


@pytest.fixture
def ran(monkeypatch) -> list:
    """(module, options) of what is run, instead of running it."""
    calls = []

    def stand_in(name):
        return SimpleNamespace(main=lambda options: calls.append((name, options)))

    monkeypatch.setattr(benchmark, "import_module", stand_in)
    return calls


def test_all_runs_every_benchmark_with_its_defaults(ran):
    assert run_commands(["benchmark", "all"]) == 0
    package = "gesture_pretrain.commands.benchmarks"
    assert ran == [(f"{package}.{name}", []) for name in benchmark.names()]
    assert {"loader", "step", "token_fusion", "gpu"} <= set(benchmark.names())


def test_options_go_to_one_benchmark_and_not_to_all(ran, capsys):
    assert run_commands(["benchmark", "step", "--runs", "1"]) == 0
    assert ran == [("gesture_pretrain.commands.benchmarks.step", ["--runs", "1"])]
    assert run_commands(["benchmark", "all", "--json", "x"]) == 1
    assert "takes no options" in capsys.readouterr().err
    assert run_commands(["benchmark", "speed"]) == 1
    assert "Unknown benchmark 'speed'. Known: gpu, " in capsys.readouterr().err
    assert len(ran) == 1


@pytest.mark.parametrize("name", benchmark.names())
def test_help_of_each(name, capsys):
    with pytest.raises(SystemExit) as ended:
        run_commands(["benchmark", name, "--help"])
    assert ended.value.code == 0 and "--json" in capsys.readouterr().out
