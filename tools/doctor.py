"""The command `gesture-pretrain doctor` as a script that runs before anything is installed."""

import sys
from collections.abc import Sequence
from pathlib import Path


def run(arguments: Sequence[str]) -> int:
    """Run the script; returns the exit status."""
    from gesture_pretrain.commands.main import COMMANDS, run_commands

    return run_commands(arguments, {"": COMMANDS["doctor"]}, "doctor.py")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(run(sys.argv[1:]))
