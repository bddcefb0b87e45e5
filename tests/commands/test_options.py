"""--help of every command: what an option is, its default, one name for one thing."""

import argparse
import re
from collections.abc import Iterator
from importlib import import_module

import pytest

from gesture_pretrain.commands.main import COMMANDS, build_parser

# benchmark hands its options on
NAMES = [name for name in COMMANDS if name != "benchmark"]
# option -> how its help begins in every tool that has it, and what stands for its value
SHARED = {
    "--backbone": ("name or path of weights", "NAME"),
    "--data": ("index, or dataset with one", "INDEX"),
    "--device": (
        "auto, cpu, cuda, cuda:0 … (default: auto, which is cuda if available)",
        None,
    ),
    "--mano": ("MANO file or folder", "PATH"),
    "--protocol": ("any of interhand_wrist, ", "NAME"),
    "--quiet": ("no progress bar", None),
    "--resume": ("continue from the last checkpoint of --out", None),
    "--seed": ("", "N"),
    "--taxonomy": ("packaged name or CSV", "NAME"),
    "--workers": ("", "N"),
}


def parser_of(name: str) -> argparse.ArgumentParser:
    module = import_module(f"gesture_pretrain.commands.{COMMANDS[name].module}")
    return build_parser(module, name)


def actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All arguments but --help."""
    return (a for a in parser._actions if not isinstance(a, argparse._HelpAction))


def shown_default(default: object) -> str:
    """A default as a help text writes it."""
    listed = default if isinstance(default, list | tuple) else [default]
    return " ".join(str(value) for value in listed)


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_explained_with_its_default(name):
    parser = parser_of(name)
    assert "    %(prog)s" in parser.description  # an example
    for action in actions_of(parser):
        told = f"{name}: {action.option_strings or action.dest}: {action.help}"
        assert action.help, told
        assert not re.search(r"\bdefault(?!:)", action.help), told  # one way to write it
        if action.default not in (None, False, True, [], argparse.SUPPRESS):
            assert shown_default(action.default) in action.help.partition("default: ")[2], told


@pytest.mark.parametrize("name", NAMES)
def test_the_same_option_means_the_same_in_every_command(name):
    for action in actions_of(parser_of(name)):
        for option in action.option_strings:
            start, metavar = SHARED.get(option, ("", action.metavar))
            assert action.help.startswith(start) and action.metavar == metavar, (name, option)


def test_every_shared_option_is_one_of_several_commands():
    found = [
        option
        for name in NAMES
        for action in actions_of(parser_of(name))
        for option in action.option_strings
    ]
    assert [option for option in SHARED if found.count(option) < 2] == []
    assert found.count("--boxes") == 1  # a file of boxes; where boxes come from is --box-source
    assert "--bbox-source" not in found
