"""`make demo` and `make study`: their commands have valid options; a failure ends the demo."""

from importlib import import_module
from pathlib import Path

import pytest
from tool_module import load_tool

from gesture_pretrain.commands import main


@pytest.mark.parametrize("name", ["demo", "study"])
def test_commands_have_valid_options(name, tmp_path, monkeypatch):
    parsed = []

    def parse(command, arguments, prog):
        module = import_module(f"gesture_pretrain.commands.{command.module}")
        parsed.append(main.build_parser(module, prog).parse_intermixed_args(list(arguments)))
        return 0

    monkeypatch.setattr(main, "run_command", parse)
    commands = [each for step in load_tool(name).steps(tmp_path) for each in step.commands]
    tools = [command for command in commands if command[0] != "-c"]
    for command in tools:
        assert load_tool(Path(command[0]).stem).run(command[1:]) == 0
    assert len(parsed) == len(tools) >= 3


def test_commands_run_side_by_side_and_a_failure_is_the_status(tmp_path, capfd):
    demo = load_tool("demo")
    demo.run_together([["-c", "print('first')"], ["-c", "print('second')"]], tmp_path / "log")
    assert capfd.readouterr().out.index("first") >= 0
    assert (tmp_path / "log_1.log").read_text() == "second\n"
    with pytest.raises(SystemExit, match="3"):
        demo.run_together([["-c", "raise SystemExit(3)"], ["-c", ""]], tmp_path / "log")
