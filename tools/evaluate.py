"""The commands `gesture-pretrain features` and `pose evaluate` as a script of the checkout."""

import sys
from collections.abc import Sequence

from gesture_pretrain.commands.main import COMMANDS, run_commands


def run(arguments: Sequence[str]) -> int:
    """Run the script; returns the exit status."""
    commands = {"backbone": COMMANDS["features"], "predictions": COMMANDS["pose evaluate"]}
    return run_commands(arguments, commands, "evaluate.py")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
