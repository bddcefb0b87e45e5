"""The command `gesture-pretrain benchmark` as a script of the checkout."""

import sys

from gesture_pretrain.commands.main import COMMANDS, run_commands

if __name__ == "__main__":
    sys.exit(run_commands(sys.argv[1:], {"": COMMANDS["benchmark"]}, "benchmark.py"))
