"""--help of every tool: what an option is, its default, one name for one thing."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tool_module import load_tool

TOOLS = Path(__file__).parents[2] / "tools"
# benchmark.py only hands its options on
NAMES = sorted(path.stem for path in TOOLS.glob("*.py") if path.stem != "benchmark")
# option -> how its help begins in every tool that has it, and what stands for its value
SHARED = {
    "--backbone": ("registry name or path of weights", "NAME"),
    "--box-ratio": ("side of the crop over the longer side of a box, as in training", "RATIO"),
    "--data": ("index, or data set with one", "INDEX"),
    "--device": (
        "auto, cpu, cuda, cuda:0 … (default: auto, which is cuda where there is one)",
        None,
    ),
    "--mano": ("MANO file or folder", "PATH"),
    "--protocol": ("any of interhand_wrist, ", "NAME"),
    "--quiet": ("no progress bar", None),
    "--resume": ("go on from the last checkpoint of --out", None),
    "--seed": ("", "N"),
    "--taxonomy": ("packaged name or CSV", "NAME"),
    "--workers": ("", "N"),
}


class _Parsed(Exception):
    pass


def parser_of(name: str, monkeypatch) -> argparse.ArgumentParser:
    """The parser that a tool has made when it comes to read its command line."""
    monkeypatch.syspath_prepend(str(TOOLS))  # as for a script in that folder
    module = load_tool(name)

    def stop(parser, *arguments, **options):
        raise _Parsed(parser)

    for method in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, method, stop)
    with pytest.raises(_Parsed) as stopped:
        module.main([])
    return stopped.value.args[0]


def actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All arguments, those of subcommands included."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from actions_of(command)
        elif not isinstance(action, argparse._HelpAction):
            yield action


def shown_default(default: object) -> str:
    """A default as a help text writes it."""
    listed = default if isinstance(default, list | tuple) else [default]
    return " ".join(str(value) for value in listed)


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_explained_with_its_default(name, monkeypatch):
    parser = parser_of(name, monkeypatch)
    assert parser.description
    for action in actions_of(parser):
        told = f"{name}: {action.option_strings or action.dest}: {action.help}"
        assert action.help, told
        assert not re.search(r"\bdefault(?!:)", action.help), told  # one way to write it
        if action.default not in (None, False, True, [], argparse.SUPPRESS):
            assert shown_default(action.default) in action.help.partition("default: ")[2], told


@pytest.mark.parametrize("name", NAMES)
def test_the_same_option_means_the_same_in_every_tool(name, monkeypatch):
    for action in actions_of(parser_of(name, monkeypatch)):
        for option in action.option_strings:
            start, metavar = SHARED.get(option, ("", action.metavar))
            assert action.help.startswith(start) and action.metavar == metavar, (name, option)


def test_every_shared_option_is_one_of_several_tools_or_commands(monkeypatch):
    found = [
        option
        for name in NAMES
        for action in actions_of(parser_of(name, monkeypatch))
        for option in action.option_strings
    ]
    assert [option for option in SHARED if found.count(option) < 2] == []
    assert found.count("--boxes") == 1  # a file of boxes; where boxes come from is --box-source
    assert "--bbox-source" not in found
