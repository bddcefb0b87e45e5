"""The commands `gesture-pretrain data …` as a script of the checkout."""

import sys
from collections.abc import Sequence

from gesture_pretrain.commands.main import COMMANDS, run_commands


def run(arguments: Sequence[str]) -> int:
    """Run the script; returns the exit status."""
    commands = {n.removeprefix("data "): c for n, c in COMMANDS.items() if n.startswith("data ")}
    return run_commands(arguments, commands, "prepare_data.py")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
