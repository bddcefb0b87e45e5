"""The commands `gesture-pretrain swap` and, with --export PATH, `export` as a script."""

import sys
from collections.abc import Sequence

from gesture_pretrain.commands.main import COMMANDS, run_commands


def run(arguments: Sequence[str]) -> int:
    """Run the script; returns the exit status."""
    exports = any(word.partition("=")[0] == "--export" for word in arguments)
    command = COMMANDS["export" if exports else "swap"]
    return run_commands(arguments, {"": command}, "swap_backbone.py")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
