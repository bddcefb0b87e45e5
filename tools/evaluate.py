"""The commands `gesture-pretrain features` and `pose evaluate` as a script of the checkout."""

import sys

from gesture_pretrain.commands.main import COMMANDS, run_commands

if __name__ == "__main__":
    commands = {"backbone": COMMANDS["features"], "predictions": COMMANDS["pose evaluate"]}
    sys.exit(run_commands(sys.argv[1:], commands, "evaluate.py"))
