"""The command `gesture-pretrain benchmark` as a script of the checkout."""

import sys
from collections.abc import Sequence

from gesture_pretrain.commands.main import COMMANDS, run_commands


def run(arguments: Sequence[str]) -> int:
    """Run the script; returns the exit status."""
    return run_commands(arguments, {"": COMMANDS["benchmark"]}, "benchmark.py")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
